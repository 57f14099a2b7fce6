"""A finding always names a way out; the run is complete and never raises."""

import threading

import pytest

from moorage.checks.asking import Engine, ask
from moorage.checks.base import Finding, failure, ok, warning
from moorage.checks.run import CHECKS, Check, run_checks
from tests.unit.checks.samples import needs


def test_a_finding_without_a_fix_is_refused() -> None:
    for say in (warning, failure):
        with pytest.raises(ValueError, match="without a fix"):
            say("disk", "full", "")
    assert ok("disk", "fine") == Finding("disk", "ok", "fine")


def test_findings_come_in_the_order_of_the_checks() -> None:
    second_is_done = threading.Event()

    def slow(_needs: object, _engine: object) -> tuple[Finding, ...]:
        second_is_done.wait()
        return (ok("first", "1"), ok("first", "2"))

    def quick(_needs: object, _engine: object) -> tuple[Finding, ...]:
        second_is_done.set()
        return (ok("second", "3"),)

    found = run_checks(needs(), (Check("first", slow), Check("second", quick)))
    assert [item.text for item in found] == ["1", "2", "3"]


def test_a_check_that_raises_becomes_a_warning() -> None:
    def broken(_needs: object, _engine: object) -> tuple[Finding, ...]:
        raise RuntimeError("boom")

    (found,) = run_checks(needs(), (Check("odd", broken),))
    assert (found.check, found.level, found.text) == ("odd", "warning", "could not be found out: RuntimeError: boom")
    assert found.fix


def test_a_check_that_hangs_becomes_a_warning() -> None:
    never = threading.Event()
    threads: list[threading.Thread] = []

    def hanging(_needs: object, _engine: object) -> tuple[Finding, ...]:
        threads.append(threading.current_thread())
        never.wait()
        return ()

    found = run_checks(needs(), (Check("mount", hanging), Check("b", lambda *_: (ok("b", "good"),))), 0.3)
    never.set()
    assert threads[0].daemon, "the program would not end"
    assert [(item.level, item.text) for item in found] == [
        ("warning", "did not end within 0.3 seconds"),
        ("ok", "good"),
    ]


def test_every_subject_says_something_with_and_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    found = run_checks(needs(domain="localhost", hosts=(), tls_mode="off"))
    said = {item.check for item in found}
    assert said == {check.name for check in CHECKS}
    assert not any("could not be found out" in item.text for item in found)
    order = [check.name for check in CHECKS]
    assert sorted(order.index(item.check) for item in found) == [order.index(item.check) for item in found]


@pytest.mark.parametrize(
    ("command", "output", "error", "status"),
    [
        (["sh", "-c", "echo good"], "good\n", "", 0),
        (["sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"], "out\n", "two", 3),
        (["sh", "-c", "exit 4"], "", "status 4", 4),
        (["no-such-program"], "", "the program `no-such-program` is not installed", -1),
        (["/etc/passwd"], "", "`/etc/passwd` cannot be run: Permission denied", -1),
    ],
)
def test_ask_gives_the_answer_or_the_reason(command: list[str], output: str, error: str, status: int) -> None:
    answer = ask(command)
    assert (answer.output, answer.error, answer.status) == (output, error, status)
    assert answer.is_good is (status == 0)


def test_ask_ends_within_its_limit() -> None:
    answer = ask(["sleep", "60"], limit_seconds=0.1)
    assert answer.error == "`sleep 60` did not finish within 0.1 seconds"


def test_an_engine_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    engine = Engine()
    assert not engine.view().answers
    assert engine.view() is engine.view()
    assert engine.ask("ps").error == engine.view().error
