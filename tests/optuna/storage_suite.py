"""Optuna's own checks of a storage (optuna.testing, as its wheel ships it), each on a copy of the
store SUITE_URL, which drmad made. Run by pytest."""

import os
import pathlib
import shutil
import uuid

import pytest
from optuna.testing.pytest_storages import StorageTestCase
from peer import open_storage


def copy(url):
    """A file beside it, or a database of the same PostgreSQL server."""
    scheme, _, place = url.partition(":")
    name = f"suite_{uuid.uuid4().hex}"
    if scheme != "postgresql":
        path = pathlib.Path(place)
        shutil.copyfile(path, path.with_name(name))
        return f"{scheme}:{path.with_name(name)}"

    import psycopg2

    server, _, query = place.partition("?")
    host, _, template = server.rpartition("/")
    connection = psycopg2.connect(f"postgresql:{host}/drmad?{query}")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    connection.close()
    return f"postgresql:{host}/{name}?{query}"


@pytest.fixture
def storage():
    made = open_storage(copy(os.environ["SUITE_URL"]))
    yield made
    if hasattr(made, "engine"):
        made.remove_session()
        made.engine.dispose()


class TestStoreOfDrmad(StorageTestCase):
    pass
