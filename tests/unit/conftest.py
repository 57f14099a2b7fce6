"""How property tests run here: the same examples every time, few enough for `make check`.

`--hypothesis-profile=deep` looks for new ones, thousands per property.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

_QUIET = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much)

settings.register_profile(
    "unit", max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=_QUIET
)
settings.register_profile("deep", max_examples=3000, deadline=None, database=None, suppress_health_check=_QUIET)


def pytest_configure(config: pytest.Config) -> None:
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "moorage-hypothesis")
    settings.load_profile(config.getoption("--hypothesis-profile") or "unit")
