"""When a container counts as ready, and when it is given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.compose import waiting
from moorage.targets.compose.docker import Container, Docker
from tests.unit.targets.compose.test_plan import container, service


class Logs(Docker):
    def __init__(self) -> None:
        pass

    def last_lines(self, container: str, count: int = 20, since: str = "") -> str:
        return f"the log of {container}"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every look costs a second."""
    now = iter(range(100_000))
    monkeypatch.setattr(waiting.time, "sleep", lambda _: None)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(now)))
    yield


def wait(*looks: list[dict[str, Any]], count: int = 1) -> tuple[Container, ...]:
    """Wait while the engine shows one look after the other; the last one stays."""
    shown = [[container(id=f"web-{number}", **item) for number, item in enumerate(look)] for look in looks]

    def select() -> list[Container]:
        return shown.pop(0) if len(shown) > 1 else shown[0]

    return waiting.wait_ready(Logs(), Console(quiet=True), service(startup_seconds=60), select, count)


PLAIN = {"health": ""}


def test_a_healthy_container_is_ready_at_once() -> None:
    assert len(wait([{}])) == 1


def test_one_without_a_check_must_run_quietly() -> None:
    assert wait([PLAIN], [PLAIN], [PLAIN], [PLAIN])[0].is_running


@pytest.mark.parametrize("health", ["", "healthy"])
def test_falls_of_long_ago_are_no_reason_against_a_container_that_runs(health: str) -> None:
    assert wait([{"restarts": 17, "health": health}])[0].restarts == 17


def test_one_that_falls_over_between_two_looks_never_counts_as_quiet() -> None:
    looks = [[{"restarts": number, **PLAIN}] for number in (0, 1, 2, 3)]
    with pytest.raises(DeployError, match="ends again and again"):
        wait(*looks)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "exited", "exit_code": 3}, "ended at once with status 3"),
        ({"state": "restarting", "restarts": 9, "exit_code": 1}, "ends again and again with status 1"),
        ({"state": "exited", "out_of_memory": True}, "more memory than its limit"),
        (
            {"state": "restarting", "restarts": 9, "exit_code": 137},
            "ends again and again with status 137, most likely because it needs more memory than its limit",
        ),
        ({"health": "unhealthy"}, "its health check fails"),
        ({"health": "unhealthy", "restarts": 1}, "ends again and again"),
        ({"state": "created", "health": ""}, "was not ready within 90 seconds"),
        ({"state": "paused", "health": ""}, "was not ready within 90 seconds"),
    ],
)
def test_a_broken_container_is_named_with_its_reason(state: dict[str, Any], words: str) -> None:
    with pytest.raises(DeployError, match=words):
        wait([state])


def test_a_container_that_is_killed_between_looks_is_told_with_the_key_to_raise() -> None:
    """The engine's flag and the status are gone as soon as it runs again."""
    looks = [[{"restarts": 0, **PLAIN}], [{"state": "restarting", "restarts": 1, "exit_code": 137}]]
    looks += [[{"restarts": number, **PLAIN}] for number in (2, 3)]
    with pytest.raises(DeployError, match="status 137, most likely") as error:
        wait(*looks)
    assert error.value.hint.startswith("raise `resources.services.web.memory` in moorage.yaml")


def test_all_wanted_containers_must_be_ready() -> None:
    assert len(wait([{}], [{}, {"state": "created"}], [{}, {}], count=2)) == 2
