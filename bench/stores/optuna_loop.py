"""Ask and tell with Optuna's RDB storage: TRIALS trials of PARAMS parameters, by PROCESSES
processes on one study. Prints one JSON object: seconds from the common start to the last end,
transactions that wrote something, trials that failed because the storage raised.

optuna_loop.py URL TRIALS PROCESSES PARAMS own|ours
ours: each SQLite connection gets the PRAGMAs that drmad uses (WAL, synchronous NORMAL)."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
import warnings

import optuna
from sqlalchemy import event

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore")
WRITES = ("INSERT", "UPDATE", "DELETE")


def open_storage(url: str, pragmas: str) -> optuna.storages.RDBStorage:
    sqlite = url.startswith("sqlite")
    url = url.replace("postgresql://", "postgresql+psycopg2://")
    kwargs = {"connect_args": {"timeout": 60}} if sqlite else {}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=kwargs)
    if sqlite and pragmas == "ours":

        @event.listens_for(storage.engine, "connect")
        def set_pragmas(connection, _record):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")

        storage.engine.dispose()  # its first connection has none of them
    return storage


class Commits:
    """Counts the transactions that wrote something."""

    def __init__(self, engine):
        self.count = 0
        self.wrote = False
        event.listen(engine, "before_cursor_execute", self.statement)
        event.listen(engine, "commit", self.commit)

    def statement(self, _connection, _cursor, statement, *_rest):
        self.wrote |= statement.lstrip().upper().startswith(WRITES)

    def commit(self, _connection):
        self.count += self.wrote
        self.wrote = False


def work(url, trials, params, pragmas, barrier, results):
    storage = open_storage(url, pragmas)
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.load_study(study_name="bench", storage=storage, sampler=sampler)
    commits = Commits(storage.engine)
    failed = 0
    barrier.wait()
    for i in range(trials):
        try:
            trial = study.ask()
            for p in range(params):
                trial.suggest_float(f"p{p}", 0.0, 1.0)
            study.tell(trial, float(i))
        except Exception:  # a locked database, mostly
            failed += 1
    results.put((time.monotonic(), commits.count, failed))


def main() -> None:
    url, trials, processes, params, pragmas = sys.argv[1:]
    count = int(processes)
    optuna.create_study(study_name="bench", storage=open_storage(url, pragmas))
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(count + 1), spawn.Queue()
    share = int(trials) // count
    workers = [
        spawn.Process(target=work, args=(url, share, int(params), pragmas, barrier, results))
        for _ in range(count)
    ]
    for w in workers:
        w.start()
    barrier.wait()
    start = time.monotonic()
    ends = [results.get() for _ in workers]
    for w in workers:
        w.join()
    print(
        json.dumps(
            {
                "seconds": max(e[0] for e in ends) - start,
                "trials": share * count,
                "commits": sum(e[1] for e in ends),
                "failed": sum(e[2] for e in ends),
            }
        )
    )


if __name__ == "__main__":
    main()
