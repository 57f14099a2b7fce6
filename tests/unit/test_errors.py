"""The exception tree: exit statuses, problems in the order of the file."""

from __future__ import annotations

import pytest

from moorage.errors import CommandFailed, DeployError, InputError, MoorageError, Place, Problem


def test_only_wrong_input_ends_with_status_two() -> None:
    assert InputError("wrong").exit_status == 2
    for error in (MoorageError("x"), DeployError("x"), CommandFailed(["docker"], 125, "")):
        assert error.exit_status == 1


def test_problems_are_told_once_in_the_order_of_the_file() -> None:
    late = Problem(Place("moorage.yaml", 20, 3), "b", "is wrong")
    early = Problem(Place("moorage.yaml", 3, 9), "a", "is wrong")
    other = Problem(Place("compose.yaml", 100, 1), "c", "is wrong")
    error = InputError([late, early, other, early])
    assert error.problems == (other, early, late)
    assert error.message == "3 problems found, nothing was written"


def test_one_problem_is_not_called_problems() -> None:
    assert InputError([Problem(Place("a"), "", "is wrong")]).message == "1 problem found, nothing was written"


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("moorage.yaml", 14, 9), "moorage.yaml:14:9"),
        (Place("moorage.yaml"), "moorage.yaml"),
    ],
)
def test_a_place_is_written_as_editors_understand_it(place: Place, text: str) -> None:
    assert str(place) == text


def test_a_problem_names_place_key_rule_value_and_the_way_out() -> None:
    problem = Problem(Place("moorage.yaml", 14, 9), "tls.challenge", "must be a or b", "'c'", "a", "look there")
    text = str(problem)
    for part in ("moorage.yaml:14:9", "tls.challenge", "must be a or b", "'c'", "look there"):
        assert part in text
    assert problem.as_data() == {
        "file": "moorage.yaml",
        "line": 14,
        "column": 9,
        "key": "tls.challenge",
        "rule": "must be a or b",
        "value": "'c'",
        "suggestion": "a",
        "hint": "look there",
    }
