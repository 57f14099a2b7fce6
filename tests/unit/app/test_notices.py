"""What was adapted, as a person reads it."""

from __future__ import annotations

from moorage.app.model import Notice
from moorage.app.notices import for_people


def told(*notices: Notice, with_minor: bool = False) -> list[tuple[str, str]]:
    return [(notice.subject, notice.text) for notice in for_people(notices, with_minor=with_minor)]


def test_services_with_one_text_share_a_line() -> None:
    assert told(
        Notice("service a", "x"), Notice("service b", "y"), Notice("service c", "x"), Notice("service a", "x")
    ) == [
        ("services a, c", "x"),
        ("service b", "y"),
    ]


def test_other_subjects_stay_apart() -> None:
    notices = (Notice("env file .env", "x"), Notice("service a, volumes", "x"), Notice("service a", "x"))
    assert told(*notices) == [(notice.subject, notice.text) for notice in notices]


def test_what_nobody_would_decide_otherwise_is_told_only_when_asked_for() -> None:
    notices = (Notice("service a", "x", is_minor=True), Notice("service a", "y"))
    assert told(*notices) == [("service a", "y")]
    assert told(*notices, with_minor=True) == [("service a", "x"), ("service a", "y")]


def test_a_long_list_of_services_is_cut_unless_all_is_asked_for() -> None:
    notices = [Notice(f"service s{number}", "x") for number in range(10)]
    assert told(*notices) == [("services s0, s1, s2, s3, s4, s5, s6, s7 and 2 more", "x")]
    assert told(*notices, with_minor=True) == [(f"services {', '.join(f's{number}' for number in range(10))}", "x")]
