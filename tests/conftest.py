"""Options of the test run."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-messages", action="store_true", help="rewrite the expected messages of tests/problems")
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected trees of tests/golden")


def need(present: bool, what: str) -> None:
    """A real part is missing: skip on a contributor's machine, fail where CI says so."""
    if present:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and this is CI")
    pytest.skip(f"{what} is missing")
