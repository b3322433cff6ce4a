"""Optuna's own checks of a sampler (optuna.testing, as the wheel of 5.0 ships it) on ours. Run by
pytest."""

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

import drmad.optuna as ours


class _Cases(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """With a model from the fourth trial on."""

    kind = ours.GPSampler

    @pytest.fixture
    def sampler(self):
        return lambda: self.kind(seed=0, n_startup_trials=3)


class TestGP(_Cases):
    pass


class TestTPE(_Cases):
    kind = ours.TPESampler


class TestCmaEs(_Cases):
    kind = ours.CmaEsSampler
