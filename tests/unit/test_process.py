"""Programs: what they said when they failed, and what they inherit."""

from __future__ import annotations

import pytest

from moorage.errors import CommandFailed, MoorageError
from moorage.process import run


def said(script: str) -> str:
    with pytest.raises(CommandFailed) as raised:
        run(["sh", "-c", script])
    assert raised.value.status == 3
    return raised.value.output


def test_a_failure_tells_both_streams_the_summary_last() -> None:
    assert (
        said("echo 'failed to solve' >&2; echo '> RUN make: no rule'; exit 3") == "> RUN make: no rule\nfailed to solve"
    )


@pytest.mark.parametrize("script", ["echo why; exit 3", "echo why >&2; exit 3", "echo why; echo ' ' >&2; exit 3"])
def test_a_failure_tells_the_only_stream_that_has_something(script: str) -> None:
    assert said(script) == "why"


def test_a_failure_without_a_word_is_empty() -> None:
    assert said("exit 3") == ""


def test_what_goes_in_by_standard_input_is_in_no_message() -> None:
    with pytest.raises(CommandFailed) as raised:
        run(["sh", "-c", "cat >/dev/null; exit 3"], stdin="hunter2")
    assert "hunter2" not in f"{raised.value} {raised.value.output} {raised.value.command}"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(MoorageError, match="the program `no-such-program` is not installed"):
        run(["no-such-program"])
