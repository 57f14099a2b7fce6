"""Golden cases, rendered once for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moorage.parity.rendered import Rendered
from tests.conftest import need
from tests.parity.deployments import kustomize, read_case

Cases = Callable[[str], tuple[Rendered, ...]]


@pytest.fixture(scope="session")
def rendered_case(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """All environments of a golden case by its name."""
    need(bool(kustomize()), "kustomize")
    known: dict[str, tuple[Rendered, ...]] = {}

    def of(name: str) -> tuple[Rendered, ...]:
        if name not in known:
            known[name] = read_case(name, tmp_path_factory.mktemp(name))
        return known[name]

    return of
