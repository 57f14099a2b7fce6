"""Mutation proof: a mistake in one rendered environment is named by the gate, with what, which field and both values.

All of them are made by `make soak` (`MOORAGE_MUTANTS=1`), one of so many in CI (`slow`), a few in `make check`.
"""

from __future__ import annotations

import os

import pytest

from moorage.parity.allowed import ALLOWED
from moorage.parity.compare import Row
from moorage.parity.rendered import Rendered
from tests.parity.conftest import Cases
from tests.parity.excused import EXCUSED, is_excused
from tests.parity.mutants import Gate, Mutant, mutants

# A case, the environments that are held side by side, and the one with the mistake.
_TRIALS = [
    ("notes", ("compose", "minikube", "eks-beta"), "compose"),
    ("notes", ("compose", "minikube", "eks-beta"), "minikube"),
    # Two of a kind: what only EKS has is held against the other one.
    ("notes", ("compose", "minikube", "eks-beta", "eks-production"), "eks-beta"),
    ("bring-your-own", ("compose", "minikube", "eks"), "compose"),
    ("bring-your-own", ("compose", "minikube", "eks"), "minikube"),
    ("bring-your-own-nginx", ("compose", "eks", "nginx"), "nginx"),
    ("opensail", ("compose", "minikube", "eks-production"), "compose"),
    ("opensail", ("compose", "minikube", "eks-production"), "minikube"),
    ("opensail", ("compose", "minikube", "eks-beta", "eks-production"), "eks-beta"),
]
_IDS = [f"{case}-{wrong}" for case, _, wrong in _TRIALS]


def _trial(environments: tuple[Rendered, ...], names: tuple[str, ...], wrong: str, every: int) -> int:
    chosen = [item for item in environments if item.environment in names]
    gate, index = Gate(chosen, ALLOWED), names.index(wrong)
    survivors: list[Mutant] = []
    count = 0
    for mutant in mutants(chosen[index], every=every):
        count += 1
        rows = gate.catches(index, mutant.rendered)
        if rows:
            assert all(_is_named(row, index) for row in rows), (mutant.place, rows)
        elif not is_excused(mutant.place, mutant.what):
            survivors.append(mutant)
    assert [f"{item.place} ({item.what})" for item in survivors] == []
    return count


def _is_named(row: Row, index: int) -> bool:
    """Whether a difference says of what it is, and shows values that are not the same, or what is missing."""
    if row.key.subject == "unreadable":
        return True
    others = [value for number, value in enumerate(row.values) if number != index]
    is_missing = any("must have it" in side for _, side in row.unexplained)
    return bool(row.key.subject and row.key.field) and (
        is_missing or any(value != row.values[index] for value in others)
    )


@pytest.mark.parametrize(("case", "names", "wrong"), _TRIALS, ids=_IDS)
def test_some_mistakes_are_named(case: str, names: tuple[str, ...], wrong: str, rendered_case: Cases) -> None:
    assert _trial(rendered_case(case), names, wrong, every=41) > 20


@pytest.mark.slow
@pytest.mark.parametrize(("case", "names", "wrong"), _TRIALS, ids=_IDS)
def test_every_mistake_is_named(case: str, names: tuple[str, ...], wrong: str, rendered_case: Cases) -> None:
    every = int(os.environ.get("MOORAGE_MUTANTS", "0")) or (3 if case != "opensail" else 9)
    assert _trial(rendered_case(case), names, wrong, every) > 300


def test_what_is_excused_has_a_reason() -> None:
    assert all(reason for _, _, reason in EXCUSED)
