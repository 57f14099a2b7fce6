"""What looks like a secret; how files of any content are read in time that grows with their size only."""

from __future__ import annotations

import time

import pytest

from moorage.app.secrecy import holds_secrets

SHORT = 4_000
GROWTH = 16


def seconds_of(content: bytes) -> float:
    """Processor time, of the quickest of three tries: other processes of the machine play no part."""

    def once() -> float:
        before = time.process_time()
        holds_secrets(content)
        return time.process_time() - before

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    "repeated", [b"x", b" ", b"a:", b"a.", b"://", b"-----BEGIN ", b"pwd ", b"'", b"<a", b"a=", b"x://y:"]
)
def test_a_long_line_is_read_in_time_that_grows_with_its_length(repeated: bytes) -> None:
    short = seconds_of(repeated * (SHORT // len(repeated)))
    long = seconds_of(repeated * (SHORT * GROWTH // len(repeated)))
    # Linear is 16, quadratic 256; a floor, so that the clock's own grain is not measured.
    assert long < 80 * max(short, 0.0005)


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (b"url = postgres://app:hunter2@db/app", True),
        (b"url = jdbc:postgresql://app:hunter2@db/app", True),
        (b"uri: mongodb+srv://app:hunter2@db/app", True),
        (b"url = https://example.com/a:b@c", False),
        (b"secret_key: 3f9a0c1d2b", True),
        (b"secret_key: ${SECRET_KEY}", False),
        (b"workers = 4", False),
    ],
)
def test_a_file_that_has_a_secret_written_out(line: bytes, secret: bool) -> None:
    assert holds_secrets(b"# settings\n" + line + b"\n") is secret
