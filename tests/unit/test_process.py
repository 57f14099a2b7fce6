"""Programs: what they said when they failed, and what they inherit."""

from __future__ import annotations

import subprocess
import sys

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


WRITER = """
import sys
for number in range(3):
    sys.stdout.write(f"\\033[2Kout {number} \\033[31mred\\033[0m\\n"); sys.stdout.flush()
    sys.stderr.write(f"\\033[2Kerr {number}\\n"); sys.stderr.flush()
sys.exit(3)
"""
ATTACHED = (
    "import sys; from moorage.process import attach_plain; sys.exit(attach_plain([sys.executable, '-c', sys.argv[1]]))"
)


def test_a_log_in_a_file_has_no_signs_that_clear_a_line_and_keeps_the_rest() -> None:
    command = [sys.executable, "-c", ATTACHED, WRITER]
    apart = subprocess.run(command, capture_output=True, check=False)
    together = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = [[f"out {number} \033[31mred\033[0m\n", f"err {number}\n"] for number in range(3)]
    assert (apart.returncode, together.returncode) == (3, 3)
    assert apart.stdout.decode() == "".join(out for out, _ in lines)
    assert apart.stderr.decode() == "".join(error for _, error in lines)
    assert together.stdout.decode() == "".join(line for pair in lines for line in pair)


def test_a_program_ends_when_nobody_reads_its_log_any_more() -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x\\n'); sys.stdout.flush()"
    with subprocess.Popen(
        [sys.executable, "-c", ATTACHED, endless], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"x\n"
        program.stdout.close()
        assert program.wait(timeout=30) != 0
