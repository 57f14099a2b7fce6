"""The rig's Kubernetes does what a Kubernetes does, so that other tests may build on it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import objects
import pytest
import yaml
from access import Access
from kubernetes import client

pytestmark = pytest.mark.cluster

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


def test_the_api_answers_with_its_version(cluster: Access) -> None:
    told = json.loads(cluster.kubectl("version", "--output=json"))["serverVersion"]
    by_library = client.VersionApi(cluster.api()).get_code()
    assert told["gitVersion"] == by_library.git_version
    assert (told["major"], told["minor"]) >= ("1", "25")


def test_a_deployment_becomes_available(cluster: Access, namespace: str) -> None:
    cluster.apply(namespace, objects.deployment("web", replicas=2))
    cluster.kubectl("rollout", "status", "-n", namespace, "deployment/web", "--timeout=120s")
    found = client.AppsV1Api(cluster.api()).read_namespaced_deployment_status("web", namespace)
    assert found.status is not None
    assert found.status.available_replicas == 2


def test_a_job_completes(cluster: Access, namespace: str) -> None:
    cluster.apply(namespace, objects.job("once"))
    cluster.wait(namespace, "condition=Complete", "job/once")


def test_a_job_is_made_from_a_cron_job(cluster: Access, namespace: str) -> None:
    cluster.apply(namespace, objects.cron_job("yearly", "0 0 1 1 *"))
    cluster.kubectl("create", "job", "-n", namespace, "by-hand", "--from=cronjob/yearly")
    cluster.wait(namespace, "condition=Complete", "job/by-hand")


def test_a_cron_job_makes_up_for_what_it_missed(cluster: Access, namespace: str) -> None:
    """Told that it last ran two years ago, the controller must start the last new year's run now: no clock to wait for."""
    cluster.apply(namespace, objects.cron_job("yearly", "0 0 1 1 *"))
    long_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=731)
    status = {"status": {"lastScheduleTime": long_ago.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    cluster.kubectl(
        "patch", "-n", namespace, "cronjob/yearly", "--subresource=status", "--type=merge", "-p", json.dumps(status)
    )
    cluster.wait(namespace, "jsonpath={.status.lastSuccessfulTime}", "cronjob/yearly")
    owner = "jsonpath={.items[*].metadata.ownerReferences[*].name}"
    assert cluster.kubectl("get", "jobs", "-n", namespace, "-o", owner) == "yearly"


def test_restricted_pod_security_refuses(cluster: Access, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    cluster.apply(namespace, objects.pod("decent"))
    rude = objects.pod("rude", hostNetwork=True)
    refused = cluster.try_kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(rude))
    assert refused.returncode == 1
    assert 'violates PodSecurity "restricted' in refused.stderr
    assert "host namespaces (hostNetwork=true)" in refused.stderr


def test_a_quota_refuses(cluster: Access, namespace: str) -> None:
    cluster.kubectl("create", "quota", "-n", namespace, "few", "--hard=count/secrets=1")
    cluster.wait(namespace, "jsonpath={.status.used}", "quota/few")
    cluster.kubectl("create", "secret", "generic", "-n", namespace, "first")
    refused = cluster.try_kubectl("create", "secret", "generic", "-n", namespace, "second")
    assert refused.returncode == 1
    assert "exceeded quota: few" in refused.stderr


def test_objects_of_an_added_kind_are_validated(cluster: Access, namespace: str) -> None:
    group = f"{namespace}.moorage.test"
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(objects.definition("boats", group)))
    cluster.establish(f"boats.{group}")
    boat = {"apiVersion": f"{group}/v1", "kind": "Boat", "metadata": {"name": "one"}}
    cluster.apply(namespace, {**boat, "spec": {"berths": 4}})
    wrong = yaml.safe_dump({**boat, "spec": {"berths": 0}})
    refused = cluster.try_kubectl("apply", "-n", namespace, "-f", "-", stdin=wrong)
    cluster.kubectl("delete", f"crd/boats.{group}", "--wait=false")
    assert refused.returncode == 1
    assert "spec.berths: Invalid value: 0" in refused.stderr


def test_two_managers_of_a_field_are_told_of_their_conflict(cluster: Access, namespace: str) -> None:
    def apply_as(manager: str, replicas: int, *options: str) -> Any:
        text = yaml.safe_dump(objects.deployment("shared", replicas))
        words = ["apply", "-n", namespace, "--server-side", f"--field-manager={manager}", *options, "-f", "-"]
        return cluster.try_kubectl(*words, stdin=text)

    assert apply_as("first", 1).returncode == 0
    refused = apply_as("second", 2)
    assert refused.returncode == 1
    assert 'conflict with "first"' in refused.stderr
    assert refused.stderr.count(".spec.replicas") == 1
    assert apply_as("second", 2, "--force-conflicts").returncode == 0


def test_a_claim_is_bound_when_a_pod_wants_it(cluster: Access, namespace: str) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    cluster.apply(namespace, objects.claim("data"), objects.pod("user", volumes=[volume]))
    cluster.wait(namespace, "jsonpath={.status.phase}=Bound", "pvc/data")
    cluster.wait(namespace, "condition=Ready", "pod/user")


def test_rights_are_asked_for(cluster: Access, namespace: str) -> None:
    cluster.kubectl("create", "serviceaccount", "-n", namespace, "reader")
    cluster.kubectl("create", "role", "-n", namespace, "reads", "--verb=get", "--resource=configmaps")
    cluster.kubectl(
        "create", "rolebinding", "-n", namespace, "reads", "--role=reads", f"--serviceaccount={namespace}:reader"
    )
    who = f"--as=system:serviceaccount:{namespace}:reader"
    assert cluster.try_kubectl("auth", "can-i", "get", "configmaps", "-n", namespace, who).stdout == "yes\n"
    assert cluster.try_kubectl("auth", "can-i", "get", "secrets", "-n", namespace, who).stdout == "no\n"
