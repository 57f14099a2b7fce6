"""Docker's defaults for what others start: logs without limit, addresses for networks."""

import json
from pathlib import Path
from typing import Any

import pytest

from moorage.checks import logs, networks
from moorage.checks.asking import Answer
from moorage.checks.logs import LogFacts
from moorage.checks.networks import NetworkFacts
from tests.unit.checks.samples import ScriptedEngine, lines, needs

SILENT = (
    "warning",
    "not looked at, because the Docker engine does not answer",
    "mend what `engine` says above, then `moorage check` again",
)
PROPOSAL = (
    "put `log-opts` of rendered/production/host/docker/daemon.json into /etc/docker/daemon.json, then `systemctl "
    "restart docker`; it holds for new containers"
)


@pytest.mark.parametrize(
    ("facts", "creates", "expected"),
    [
        (
            LogFacts(True, "json-file", {"max-size": "10m"}),
            True,
            ("ok", "containers that others start log by json-file with at most 10m a file", ""),
        ),
        (LogFacts(True, "journald"), True, ("ok", "containers that others start log by journald", "")),
        (LogFacts(True, "local"), True, ("ok", "containers that others start log by local", "")),
        (
            LogFacts(True, "json-file", {"max-file": "3"}),
            True,
            ("warning", "the containers that the app starts log without limit, until the disk is full", PROPOSAL),
        ),
        (
            LogFacts(True, "json-file"),
            False,
            ("ok", "every container of this stack has its limit; Docker's own default has none", ""),
        ),
        (
            LogFacts(True, "json-file", None, reason="/etc/docker/daemon.json cannot be read: Permission denied"),
            True,
            (
                "warning",
                "whether the containers that the app starts log without limit is not known: /etc/docker/daemon.json "
                "cannot be read: Permission denied",
                PROPOSAL,
            ),
        ),
        (
            LogFacts(True, "json-file", None, reason="/etc/docker/daemon.json is not a JSON object"),
            False,
            ("ok", "every container of this stack has its limit; Docker's own default has none", ""),
        ),
        (LogFacts(engine_answers=False), True, SILENT),
    ],
)
def test_logs(facts: LogFacts, creates: bool, expected: tuple[str, str, str]) -> None:
    assert lines(logs.judge(facts, needs(creates_containers=creates))) == [expected]


def daemon(proc: Path, *words: str) -> None:
    for pid, name in (("77", "dockerd"), ("1200", "dockerd"), ("12", "bash")):
        (proc / pid).mkdir(parents=True)
        (proc / pid / "comm").write_text(f"{name}\n")
        (proc / pid / "cmdline").write_bytes(b"\0".join(word.encode() for word in ("dockerd", *words)) + b"\0")
    for pid in ("12", "1200"):
        (proc / pid / "cmdline").write_bytes(b"dockerd\0--log-opt\0max-size=1g\0")


@pytest.mark.parametrize(
    ("content", "words", "options"),
    [
        (None, (), {}),
        ({"log-opts": {"max-size": "10m", "max-file": 3}}, (), {"max-size": "10m", "max-file": "3"}),
        (
            {"live-restore": True},
            ("--log-opt", "max-size=5m", "--log-opt=max-file=2"),
            {"max-size": "5m", "max-file": "2"},
        ),
    ],
)
def test_log_options_of_the_file_and_the_command_line(
    content: Any, words: tuple[str, ...], options: dict[str, str], tmp_path: Path
) -> None:
    daemon(tmp_path / "proc", *words)
    file = tmp_path / "daemon.json"
    if content is not None:
        file.write_text(json.dumps(content))
    facts = logs.gather(ScriptedEngine({"LoggingDriver": "json-file"}), tmp_path / "proc", file)
    assert facts == LogFacts(True, "json-file", options, file)


def test_the_file_that_dockerd_was_given(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"log-opts": {"max-size": "7m"}}')
    daemon(tmp_path / "proc", "--config-file", str(other))
    facts = logs.gather(ScriptedEngine({"LoggingDriver": "json-file"}), tmp_path / "proc", tmp_path / "none")
    assert (facts.file, facts.options) == (other, {"max-size": "7m"})


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"log-opts": 3}'])
def test_a_daemon_file_that_is_not_understood(text: str, tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text(text)
    facts = logs.gather(ScriptedEngine({"LoggingDriver": "json-file"}), tmp_path / "proc", tmp_path / "daemon.json")
    assert facts == LogFacts(
        True, "json-file", None, tmp_path / "daemon.json", f"{tmp_path}/daemon.json is not a JSON object"
    )


def test_a_daemon_file_that_cannot_be_read(tmp_path: Path) -> None:
    facts = logs.gather(ScriptedEngine({"LoggingDriver": "json-file"}), tmp_path, tmp_path)
    assert facts == LogFacts(True, "json-file", None, tmp_path, f"{tmp_path} cannot be read: Is a directory")
    assert logs.gather(ScriptedEngine(error="gone")) == LogFacts(engine_answers=False)


POOLS = (
    "put `default-address-pools` of rendered/production/host/docker/daemon.json into /etc/docker/daemon.json, then "
    "`systemctl restart docker`"
)


@pytest.mark.parametrize(
    ("facts", "per_project", "expected"),
    [
        (
            NetworkFacts(True, count=4),
            False,
            ("ok", "Docker's address pools have room for about 31 networks, 4 exist", ""),
        ),
        (
            NetworkFacts(True, count=4),
            True,
            (
                "warning",
                "Docker's address pools have room for about 31 networks, 4 exist; the app makes one for every project",
                POOLS,
            ),
        ),
        (
            NetworkFacts(True, 512, False, None),
            True,
            ("ok", "Docker's address pools have room for 512 networks", ""),
        ),
        (
            NetworkFacts(True, 512, False, 480),
            True,
            ("ok", "Docker's address pools have room for 512 networks, 480 exist", ""),
        ),
        (
            NetworkFacts(True, 512, False, 500),
            True,
            (
                "warning",
                "Docker's address pools have room for 512 networks, 500 exist; the app makes one for every project",
                POOLS,
            ),
        ),
        (NetworkFacts(engine_answers=False), True, SILENT),
    ],
)
def test_networks(facts: NetworkFacts, per_project: bool, expected: tuple[str, str, str]) -> None:
    assert lines(networks.judge(facts, needs(networks_per_project=per_project))) == [expected]


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        (None, NetworkFacts(True, 31, True, 2)),
        ([{"Base": "172.30.0.0/15", "Size": 24}], NetworkFacts(True, 512, False, 2)),
        (
            [{"Base": "10.0.0.0/16", "Size": 24}, {"Base": "fd00::/48", "Size": 64}],
            NetworkFacts(True, 256, False, 2),
        ),
        ([{"Base": "10.1.2.3/16", "Size": 20}], NetworkFacts(True, 16, False, 2)),
        ([{"Base": "rubbish"}], NetworkFacts(True, 31, True, 2)),
    ],
)
def test_room_for_networks(pools: Any, expected: NetworkFacts) -> None:
    engine = ScriptedEngine({"DefaultAddressPools": pools}, {"network ls": Answer("a1\nb2\n")})
    assert networks.gather(engine) == expected
    assert networks.gather(ScriptedEngine(error="gone")) == NetworkFacts(engine_answers=False)
