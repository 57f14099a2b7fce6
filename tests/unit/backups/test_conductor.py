"""A night in a cluster whose API server and Jobs have bad days: what is started, what is told, how it ends."""

from __future__ import annotations

import io
import json
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from moorage.backups import cluster_interface, conductor
from moorage.backups.cluster_interface import ClusterInterface
from moorage.backups.conductor import Conductor
from moorage.backups.failures import BackupError, Busy
from moorage.backups.report import Report

JOBS = "/apis/batch/v1/namespaces/n/jobs"
CONFIG_MAPS = "/api/v1/namespaces/n/configmaps"
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "backup-1-abc", "uid": "0a1b2c3d-4e5f"}
TEMPLATE = {"metadata": {"labels": {}}, "spec": {"template": {"spec": {"containers": [{"name": "job"}]}}}}
Json = dict[str, Any]


@dataclass
class Server:
    """Jobs as an API server has them; `fate` says how a Job of a verb ends, `faults` what a request gets before its answer."""

    jobs: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    maps: dict[str, Json] = field(default_factory=dict)
    fate: dict[str, Callable[[str], tuple[Json | None, Json | None]]] = field(default_factory=dict)
    # Method and the beginning of a path → statuses; 0 hangs up after the request was carried out.
    faults: dict[str, list[int]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def fault(self, method: str, path: str) -> int | None:
        for known, statuses in self.faults.items():
            if f"{method} {path}".startswith(known) and statuses:
                return statuses.pop(0)
        return None

    def answer(self, method: str, path: str, query: str, body: Json | None) -> tuple[int, Json]:
        kind, _, name = path.partition("/namespaces/n/")[2].partition("/")
        if kind == "pods":
            if name:
                return 200, {"log": True}
            job = query.rpartition("%3D")[2]
            return 200, {"items": [self.pods[job]] if job in self.pods else []}
        known = self.jobs if kind == "jobs" else self.maps
        if method == "POST":
            assert body is not None
            return self._create(known, body["metadata"]["name"], body)
        if not name:
            return 200, {"items": list(known.values())}
        if name not in known:
            return 404, {"message": f'{kind} "{name}" not found'}
        if method == "DELETE":
            self.deleted.append(name)
            self.pods.pop(name, None)
            return 200, known.pop(name)
        if method == "PUT":
            known[name] = body or {}
        return 200, known[name]

    def _create(self, known: dict[str, Json], name: str, body: Json) -> tuple[int, Json]:
        if name in known:
            return 409, {"message": "already exists"}
        known[name] = body
        if known is self.jobs:
            verb = body["spec"]["template"]["spec"]["containers"][0]["args"][0]
            self.made.append(verb)
            status, pod = self.fate.get(verb, ended(0))(name)
            if status is None:
                del known[name]
            else:
                body["status"] = status
            if pod is not None:
                self.pods[name] = pod
        return 201, body


def ended(exit_status: int, **pod_status: str) -> Callable[[str], tuple[Json, Json]]:
    condition = {"type": "Failed" if exit_status else "Complete", "status": "True", "message": "backoff limit"}
    terminated = [{"state": {"terminated": {"exitCode": exit_status}}}]
    return lambda name: (
        {"conditions": [condition]},
        {"metadata": {"name": f"{name}-pod"}, "status": {"containerStatuses": terminated, **pod_status}},
    )


def without_pod(reason: str, message: str) -> Callable[[str], tuple[Json, None]]:
    condition = {"type": "Failed", "status": "True", "reason": reason, "message": message}
    return lambda _: ({"conditions": [condition]}, None)


def running(name: str) -> tuple[Json, Json]:
    return {"active": 1}, {"metadata": {"name": f"{name}-pod"}, "status": {}}


def deleted(_: str) -> tuple[None, None]:
    return None, None


def job(name: str, created: str) -> Json:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"active": 1}}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[tuple[Server, ClusterInterface]]:
    known = Server()
    (tmp_path / "token").write_text("the-token\n")

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            path, _, query = self.path.partition("?")
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            known.tokens.add(self.headers["Authorization"])
            fault = known.fault(self.command, path)
            if fault:
                return self.reply(fault, {"message": "busy"})
            status, body = known.answer(self.command, path, query, json.loads(text) if text else None)
            if fault == 0:
                self.connection.close()
                return None
            return self.reply(status, body)

        def reply(self, status: int, body: Json) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    certificate, key = authority.issue("server", names=["127.0.0.1"]).write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    trusted = ssl.create_default_context(cadata=authority.certificate.decode())
    yield known, ClusterInterface("127.0.0.1", http.server_port, "n", tmp_path, trusted)
    http.shutdown()
    http.server_close()


@pytest.fixture
def said() -> io.StringIO:
    """What the conductor tells."""
    return io.StringIO()


@pytest.fixture
def night(
    server: tuple[Server, ClusterInterface], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> tuple[Server, Conductor]:
    monkeypatch.setattr(conductor, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(cluster_interface, "_TRY_SECONDS", 0.01)
    templates = tmp_path / "templates"
    templates.mkdir()
    for name in ("backup", "backup-drill", "backup-restore"):
        (templates / f"{name}.json").write_text(json.dumps(TEMPLATE))
    known, interface = server
    known.jobs["backup-1"] = job("backup-1", "2026-11-22T03:30:00Z")
    found = Conductor(interface, templates, dict(OWNER), "backup-1")
    found.report = Report(errors=said)
    return known, found


def test_the_phases_follow_each_other_and_belong_to_the_conductor(night: tuple[Server, Conductor]) -> None:
    known, own = night
    assert own.night() == 0
    assert known.made == ["take", "drill", "conclude"]
    drill = known.jobs["backup-drill-drill-0a1b2c3d"]
    assert drill["metadata"]["ownerReferences"] == [OWNER]
    assert drill["spec"]["template"]["spec"]["containers"][0]["args"] == ["drill", "--plan", "/plan/plan.json"]
    assert known.tokens == {"Bearer the-token"}


@pytest.mark.parametrize(
    ("fate", "status", "reason"),
    [
        (ended(25), 25, ""),
        (without_pod("DeadlineExceeded", "Job was active longer than specified deadline"), 20, "active longer than"),
        (
            ended(137, reason="Evicted", message="The node was low on resource: memory"),
            137,
            "Evicted: The node was low",
        ),
        (ended(0, reason="Evicted"), 20, "take did not come to its own end: Evicted"),
        (deleted, 20, "take did not come to its own end: somebody deleted it"),
        (without_pod("BackoffLimitExceeded", "no image"), 20, "take did not come to its own end: no image"),
    ],
    ids=["failed", "late", "evicted", "evicted-after-its-end", "deleted", "never-started"],
)
def test_after_a_take_that_failed_nothing_is_drilled_and_all_is_concluded(
    night: tuple[Server, Conductor], said: io.StringIO, fate: Any, status: int, reason: str
) -> None:
    known, own = night
    known.fate["take"] = fate
    assert own.night() == status
    assert known.made == ["take", "conclude"]
    assert reason in said.getvalue()


def test_a_drill_that_fails_gives_the_night_its_status(night: tuple[Server, Conductor]) -> None:
    known, own = night
    known.fate |= {"drill": ended(34), "conclude": ended(20)}
    assert own.night() == 34
    assert known.made == ["take", "drill", "conclude"]


@pytest.mark.parametrize("fault", [401, 429, 500, 503, 0])
def test_a_night_outlives_an_interface_that_is_away_for_a_while(night: tuple[Server, Conductor], fault: int) -> None:
    known, own = night
    known.faults = {
        f"POST {JOBS}": [fault] * 3,
        f"GET {JOBS}/": [fault] * 3,
        "GET /api/v1/namespaces/n/pods": [fault] * 2,
    }
    assert own.night() == 0
    # What was carried out although its answer was lost is not begun a second time.
    assert known.made == ["take", "drill", "conclude"]


def test_a_refusal_is_told_with_its_reason(night: tuple[Server, Conductor], said: io.StringIO) -> None:
    known, own = night
    known.faults = {f"POST {JOBS}": [403, 403]}
    assert own.night() == BackupError.exit_status
    assert known.made == []
    assert f"take: POST {JOBS} was answered by 403: busy" in said.getvalue()


def test_an_interface_that_stays_away_ends_the_night(night: tuple[Server, Conductor]) -> None:
    known, own = night
    known.faults = {"": [503] * 1000}
    with pytest.raises(cluster_interface.ClusterRefused, match="503"):
        own.night()
    assert known.made == []


@pytest.mark.parametrize(
    ("other", "goes_on"),
    [
        (job("night", "2026-11-22T03:29:59Z"), False),
        (job("backup-0", "2026-11-22T03:30:00Z"), False),
        (job("backup-2", "2026-11-22T03:30:00Z"), True),
        (job("night", "2026-11-22T03:30:01Z"), True),
        ({**job("night", "2026-11-22T01:00:00Z"), "status": {"succeeded": 1}}, True),
    ],
    ids=["older", "same-second-before", "same-second-after", "younger", "over"],
)
def test_of_two_nights_the_first_one_goes_on(night: tuple[Server, Conductor], other: Json, goes_on: bool) -> None:
    known, own = night
    known.jobs[other["metadata"]["name"]] = other
    assert own.night() == (0 if goes_on else Busy.exit_status)
    assert known.made == (["take", "drill", "conclude"] if goes_on else [])


def test_of_what_is_half_exchanged_no_backup_is_made(night: tuple[Server, Conductor], said: io.StringIO) -> None:
    known, own = night
    known.maps["moorage-exchange"] = {"data": {"verb": "swap", "id": "20261122T033000Z-7f3a91"}}
    assert own.night() == Busy.exit_status
    assert known.made == []
    assert "20261122T033000Z-7f3a91 was cut off" in said.getvalue()


def test_one_that_is_stopped_ends_its_phase_before_it_concludes(night: tuple[Server, Conductor]) -> None:
    known, own = night

    def stopped(name: str) -> tuple[Json, Json]:
        own.stop(signal.SIGTERM, None)
        return running(name)

    known.fate["take"] = stopped
    assert own.night() == 143
    assert known.deleted == ["backup-take-0a1b2c3d"]
    assert known.made == ["take", "conclude"]


def test_one_that_was_killed_leaves_the_next_night_free_as_soon_as_its_phase_is_over(
    night: tuple[Server, Conductor],
) -> None:
    known, own = night
    left = job("backup-take-ffffffff", "2026-11-22T02:00:00Z")
    known.jobs["backup-take-ffffffff"] = left
    assert own.night() == Busy.exit_status
    left["status"] = {"failed": 1}
    assert own.night() == 0
    assert known.made == ["take", "drill", "conclude"]


def test_the_status_is_written_whether_it_was_there_or_not(night: tuple[Server, Conductor], tmp_path: Path) -> None:
    known, own = night
    status = tmp_path / "status.json"
    for text in ("first", "second"):
        status.write_text(text)
        own.publish(status)
        assert known.maps["backup-status"]["data"] == {"status.json": text}
