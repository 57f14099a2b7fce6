"""The nodes that only report can be told to report bad news."""

from __future__ import annotations

import objects
import pytest
from access import Access
from reporting_nodes import FATE

pytestmark = pytest.mark.cluster


@pytest.fixture
def reported(cluster: Access) -> Access:
    if cluster.runs_containers:
        pytest.skip("the nodes of this cluster are real")
    return cluster


def test_a_job_can_be_made_to_fail(reported: Access, namespace: str) -> None:
    reported.apply(namespace, objects.job("failing", annotations={FATE: "failed"}))
    reported.wait(namespace, "condition=Failed", "job/failing")


@pytest.mark.parametrize(
    ("fate", "place", "told"),
    [
        ("unready", "{.status.conditions[?(@.type=='Ready')].status}", "False"),
        ("no-image", "{.status.containerStatuses[0].state.waiting.reason}", "ImagePullBackOff"),
    ],
)
def test_a_rollout_can_be_made_to_hang(reported: Access, namespace: str, fate: str, place: str, told: str) -> None:
    broken = objects.deployment("broken", annotations={FATE: fate})
    broken["spec"]["progressDeadlineSeconds"] = 1
    reported.apply(namespace, broken)
    reported.wait(namespace, "condition=Progressing=False", "deployment/broken")
    (name,) = reported.kubectl("get", "pods", "-n", namespace, "-o", "name").split()
    reported.wait(namespace, f"jsonpath={place}={told}", name)
