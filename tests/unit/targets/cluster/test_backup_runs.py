"""A phase of the backup job in a cluster that has a bad day: it ends, with the reason, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster import backup_runs
from moorage.targets.cluster.backup_runs import ClusterJobRunner
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.kubeconfig import chosen_context
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts
from tests.unit.targets.cluster.fake_api import FakeApi, serve

CORE = [
    {"name": "pods", "kind": "Pod", "namespaced": True},
    {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
]
TEMPLATE = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {},
    "spec": {"template": {"spec": {"containers": [{"name": "job"}]}}},
}
JOBS = "/apis/batch/v1/namespaces/n/jobs"
JOB = f"{JOBS}/backup-take-abcdef"
PODS = "/api/v1/namespaces/n/pods"
LOG = f"{PODS}/p/log"
SAID = {"event": "data", "content": ["of the job"]}
FOUND = {"metadata": {"name": "backup-take-abcdef"}}


def pod(phase: str, exit_status: int | None = None, **status: str) -> dict[str, Any]:
    state = {"running": {}} if exit_status is None else {"terminated": {"exitCode": exit_status}}
    containers = [{"name": "job", "state": state}]
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": containers, **status}}


def pods(*items: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"items": list(items)}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    monkeypatch.setattr(backup_runs.secrets, "token_hex", lambda _: "abcdef")
    batch = [{"name": "jobs", "kind": "Job", "namespaced": True}]
    templates = {"data": {"backup.json": json.dumps(TEMPLATE)}}
    fake = FakeApi(
        {
            "GET /api/v1": [(200, {"resources": CORE})],
            "GET /apis/batch/v1": [(200, {"resources": batch})],
            "GET /apis/batch": [(200, {"preferredVersion": {"groupVersion": "batch/v1"}})],
            "GET /api/v1/namespaces/n/configmaps/backup-jobs": [(200, templates)],
            f"POST {JOBS}": [(201, FOUND)],
            f"GET {JOB}": [(200, FOUND)],
            f"DELETE {JOB}": [(200, {})],
            f"GET {PODS}": [pods(pod("Running")), pods(pod("Succeeded", 0))],
            f"GET {LOG}": [(200, SAID)],
        }
    )
    server = serve(fake)
    yield fake
    server.shutdown()


@pytest.fixture
def runner(api: FakeApi, tmp_path: Path) -> ClusterJobRunner:
    path = api.kubeconfig(tmp_path)
    cluster = Cluster(chosen_context("test", path, "e"), path, pause=lambda _: None)
    facts = cast(ClusterFacts, SimpleNamespace(namespace="n", project="acme", environment="minikube"))
    services = ("backup", "backup-drill", "backup-restore")
    job = ClusterBackupFacts(services, "30 3 * * *", "image", "", ("local",), 26, "backup-jobs", "backup-status", {})
    ticks = iter(range(1_000_000))
    return ClusterJobRunner(cluster, facts, job, Console(quiet=True), lambda: float(next(ticks)), lambda _: None)


def test_what_the_job_says_is_the_result_and_nothing_is_left(api: FakeApi, runner: ClusterJobRunner) -> None:
    result = runner.run(0, ["take"])
    assert (result.status, result.data) == (0, ["of the job"])
    assert api.asked[-1] == f"DELETE {JOB}"


@pytest.mark.parametrize("status", [429, 503, 0])
def test_a_job_is_made_once_though_the_answer_is_lost(api: FakeApi, runner: ClusterJobRunner, status: int) -> None:
    there = (409, {"message": "jobs.batch already exists", "reason": "AlreadyExists"})
    api.answers[f"POST {JOBS}"] = [(status, {"message": "busy"}), there]
    assert runner.run(0, ["take"]).status == 0


@pytest.mark.parametrize("fault", [(0, {}), (404, {"message": "gone"}), (400, {"message": "is waiting to start"})])
def test_a_log_that_breaks_off_is_no_end(api: FakeApi, runner: ClusterJobRunner, fault: tuple[int, Any]) -> None:
    api.answers[f"GET {LOG}"] = [fault, (200, SAID)]
    api.answers[f"GET {PODS}"] = [
        pods(pod("Running")),
        pods(pod("Running")),
        pods(pod("Running")),
        pods(pod("Succeeded", 0)),
    ]
    result = runner.run(0, ["take"])
    assert (result.status, result.data) == (0, ["of the job"])


@pytest.mark.parametrize(
    ("after", "status", "reason"),
    [
        (
            pods(pod("Failed", 137, reason="Evicted", message="The node was low on resource")),
            137,
            "Evicted: The node was low",
        ),
        (pods(pod("Failed", 0, reason="Evicted")), 1, "Evicted"),
        (pods({"metadata": {"name": "p"}, "status": {"phase": "Failed", "reason": "NodeLost"}}), 1, "NodeLost"),
    ],
    ids=["evicted", "evicted-after-its-end", "lost"],
)
def test_what_was_ended_from_outside_is_told(
    api: FakeApi, runner: ClusterJobRunner, after: tuple[int, Any], status: int, reason: str
) -> None:
    api.answers[f"GET {PODS}"] = [pods(pod("Running")), after]
    result = runner.run(0, ["take"])
    assert result.status == status
    assert f"was ended from outside: {reason}" in result.failure


def test_a_job_that_somebody_deletes_is_waited_for_no_longer(api: FakeApi, runner: ClusterJobRunner) -> None:
    api.answers[f"GET {PODS}"] = [pods(pod("Running")), pods()]
    api.answers[f"GET {JOB}"] = [(404, {"message": "not found"})]
    result = runner.run(0, ["take"])
    assert (result.status, result.failure) == (1, "the backup job was ended from outside: somebody deleted its Job")


def test_a_job_that_took_too_long_is_waited_for_no_longer(api: FakeApi, runner: ClusterJobRunner) -> None:
    late = {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}
    api.answers[f"GET {PODS}"] = [pods(pod("Running")), pods()]
    api.answers[f"GET {JOB}"] = [(200, {**FOUND, "status": {"conditions": [late]}})]
    result = runner.run(0, ["take"])
    assert result.status == 1
    assert "active longer than specified deadline" in result.failure


def test_a_pod_that_can_not_start_is_told_with_its_reason(api: FakeApi, runner: ClusterJobRunner) -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: Insufficient memory"}
    waiting = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [unscheduled]}}
    api.answers[f"GET {PODS}"] = [pods(waiting)]
    result = runner.run(0, ["take"])
    assert result.status == 1
    assert "could not be started: no node takes it: 0/1 nodes are available: Insufficient memory" in result.failure
    assert api.asked[-1] == f"DELETE {JOB}"


def test_who_may_not_look_is_told_so(api: FakeApi, runner: ClusterJobRunner) -> None:
    api.answers[f"GET {PODS}"] = [(401, {"message": "Unauthorized"})]
    with pytest.raises(MoorageError, match="does not know who you are"):
        runner.run(0, ["take"])
    assert api.asked[-1] == f"DELETE {JOB}"


def test_a_night_that_is_under_way_is_kept_out_of_or_waited_for(api: FakeApi, runner: ClusterJobRunner) -> None:
    night = (200, {"items": [{"metadata": {"name": "backup-1"}, "status": {"active": 1}}]})
    over = (200, {"items": [{"metadata": {"name": "backup-1"}, "status": {"succeeded": 1}}]})
    api.answers[f"GET {JOBS}"] = [night]
    with pytest.raises(MoorageError, match="a backup is running already") as caught, runner.alone():
        pytest.fail("it is not alone")
    assert caught.value.exit_status == Busy.exit_status
    api.answers[f"GET {JOBS}"] = [night, night, over]
    with runner.alone(600):
        assert api.answers[f"GET {JOBS}"] == [over]


def test_one_that_is_quick_is_no_failure(api: FakeApi, runner: ClusterJobRunner) -> None:
    pending = {"metadata": {"name": "p"}, "status": {"phase": "Pending"}}
    api.answers[f"GET {PODS}"] = [pods(pending), pods(pod("Succeeded", 0))]
    result = runner.run(0, ["take"])
    assert (result.status, result.data) == (0, ["of the job"])
