from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from moorage.errors import DeployError, InputError
from moorage.targets.cluster import refusals, waves, workloads
from moorage.targets.cluster.difference import changed_fields
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.kubeconfig import says_production
from moorage.targets.cluster.logs import since
from moorage.targets.cluster.objects import from_path, identity
from moorage.targets.cluster.pods import troubles
from moorage.targets.k8s.facts import ClusterFacts

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


def facts(**changes: Any) -> ClusterFacts:
    given: dict[str, Any] = {
        "project": "acme", "environment": "beta", "deployment_id": "d", "target": "eks", "context": "c",
        "kubeconfig": "", "namespace": "acme", "version": "1.35", "overlay": "aws-beta", "domain": "x", "base_url": "http://x",
        "check_path": "/", "tls_mode": "off", "ingress": "traefik", "pull": "missing", "build_base": "", "log_max_size": 1,
        "log_max_files": 1, "workloads": (), "jobs": (), "images": (), "builds": (), "needs_kinds": (),
    }  # fmt: skip
    return ClusterFacts(**{**given, **changes})


def thing(kind: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    group = {"Deployment": "apps/v1", "StatefulSet": "apps/v1"}.get(kind, "v1")
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "acme", "labels": labels or {}},
        **more,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("acme-prod", True), ("live.example.com", True), ("PRODUCTION", True), ("prod2", True), ("product", False),
     ("reproduce", False), ("olive-oil", False), ("delivery", False), ("eks-beta", False)],
)  # fmt: skip
def test_production_is_a_word(text: str, expected: bool) -> None:
    assert says_production(text) is expected


def test_only_ways_to_fields_are_shown_and_lists_go_by_name() -> None:
    before = {
        "metadata": {"resourceVersion": "1", "labels": {"a.b/c": "1"}},
        "spec": {"containers": [{"name": "web", "image": "a"}]},
    }
    after = {
        "metadata": {"resourceVersion": "2", "labels": {"a.b/c": "2"}},
        "spec": {"containers": [{"name": "web", "image": "b"}]},
        "status": {},
    }
    assert changed_fields(before, after) == ("metadata.labels[a.b/c]", "spec.containers[web].image")
    secret = {"metadata": {}, "data": {"PASSWORD": "aGlkZGVu"}}
    assert changed_fields(secret, {"metadata": {}, "data": {"PASSWORD": "b3RoZXI="}}) == ("data.PASSWORD",)


def test_every_wave_brings_what_the_next_needs() -> None:
    kinds = [
        "Deployment",
        "Job",
        "StatefulSet",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Namespace",
        "Ingress",
        "CronJob",
        "DaemonSet",
    ]
    found = [[item["kind"] for item in wave] for wave in waves.in_waves([thing(kind, "x") for kind in kinds])]
    assert found == [
        ["Namespace"],
        ["ServiceAccount"],
        ["Secret"],
        ["ConfigMap"],
        ["DaemonSet"],
        ["StatefulSet"],
        ["Job"],
        ["Deployment", "Ingress", "CronJob"],
    ]


def test_an_identity_survives_its_line() -> None:
    name = identity(thing("Deployment", "web"))
    assert name.path == "apps/Deployment/acme/web"
    assert from_path(name.path) == name


def test_somebody_elses_objects_are_named_with_the_way_to_hand_them_over() -> None:
    item = thing("Deployment", "web")
    with pytest.raises(DeployError, match="belongs to the deployment other") as caught:
        refusals.refuse_foreign(
            facts(), [item], {identity(item): thing("Deployment", "web", {"app.kubernetes.io/instance": "other"})}
        )
    assert "kubectl -n acme label --overwrite deployment.apps web app.kubernetes.io/instance=acme" in caught.value.hint
    refusals.refuse_foreign(
        facts(), [item], {identity(item): thing("Deployment", "web", {"app.kubernetes.io/instance": "acme"})}
    )


def test_a_refused_secret_is_not_quoted() -> None:
    error = ApiError(
        422, "Invalid", 'Invalid value: "hunter2"', ({"field": "data[x]", "message": 'Invalid value: "hunter2"'},)
    )
    with pytest.raises(DeployError) as caught:
        refusals.refuse_troubles(facts(), [refusals.Trouble(thing("Secret", "s"), error)])
    assert "hunter2" not in caught.value.message
    assert "data[x]" in caught.value.message


def _postgres(image: str, claim: str) -> dict[str, Any]:
    spec = {
        "containers": [{"name": "postgres", "image": image}],
        "volumes": [{"persistentVolumeClaim": {"claimName": claim}}],
    }
    return thing("StatefulSet", "postgres", spec={"template": {"spec": spec}})


@pytest.mark.parametrize(
    ("image", "claim", "said"),
    [("postgres:18", "data", "Postgres 17 → 18"), ("postgres:17-alpine", "data", "Alpine"), ("postgres:17", "other", "would start empty")],
)  # fmt: skip
def test_data_that_could_not_be_read_any_more(image: str, claim: str, said: str) -> None:
    before, after = _postgres("registry:5000/postgres:17", "data"), _postgres(image, claim)
    assert said in refusals.data_risks([after], {identity(after): before})[0]
    assert refusals.data_risks([before], {identity(before): before}) == []


def _pod(status: dict[str, Any]) -> dict[str, Any]:
    return thing(
        "Pod",
        "web-1",
        spec={"containers": [{"name": "web"}]},
        status={"containerStatuses": [{"name": "web", "image": "i:1", **status}]},
    )


@pytest.mark.parametrize(
    ("status", "said", "is_final"),
    [
        ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}, "the image i:1 can't be had (ImagePullBackOff)", False),
        ({"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 7}}}, "ends again and again with status 7", True),
        ({"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}, "more memory than its limit", True),
        ({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}}, 'secret "x" not found', False),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pod(status: dict[str, Any], said: str, is_final: bool) -> None:
    found = next(troubles(_pod(status)))
    assert said in found.text
    assert found.is_final is is_final


def test_a_pod_without_a_node_says_what_the_scheduler_said() -> None:
    conditions = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes: Insufficient memory",
        }
    ]
    found = next(troubles(thing("Pod", "x", spec={}, status={"conditions": conditions})))
    assert found.text == "no node takes it: 0/2 nodes: Insufficient memory"
    assert not found.may_pass
    assert not found.is_final


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10m", ("sinceSeconds", "600")), ("1h30m", ("sinceSeconds", "5400")), ("2d", ("sinceSeconds", "172800")),
     ("2026-11-22T03:00Z", ("sinceTime", "2026-11-22T03:00:00Z")), ("2026-11-22T03:00+02:00", ("sinceTime", "2026-11-22T01:00:00Z"))],
)  # fmt: skip
def test_since(text: str, expected: tuple[str, str]) -> None:
    assert since(text, NOW) == expected


def test_since_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="neither a span nor a moment"):
        since("yesterday", NOW)


def test_a_driver_is_done_when_it_is_on_every_node() -> None:
    counts = {"desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2}
    driver = thing("DaemonSet", "node")
    driver["metadata"]["generation"] = 3
    driver["status"] = {**counts, "numberReady": 2, "numberAvailable": 2, "observedGeneration": 3}
    assert workloads.is_done(driver)
    for late in ("updatedNumberScheduled", "numberAvailable", "observedGeneration"):
        assert not workloads.is_done({**driver, "status": {**driver["status"], late: 1}})
