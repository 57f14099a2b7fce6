"""Every golden tree on a real API server: admitted as a whole, and everything in it comes about. No container runs here."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import golden_trees
import pytest
from access import Access
from golden_trees import GoldenTree

from tests.golden.manifests import Object, of_kind

pytestmark = pytest.mark.cluster

_LIMIT_SECONDS = 90


@pytest.fixture(scope="module", params=golden_trees.OVERLAYS, ids=golden_trees.name_of)
def tree(
    request: pytest.FixtureRequest, custom_cluster: Access, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoldenTree]:
    """A tree whose namespace exists, and nothing else of it."""
    if custom_cluster.is_foreign:
        pytest.skip("the images of the golden trees are nowhere, and a foreign cluster would look for them")
    found = GoldenTree(custom_cluster, f"golden-{secrets.token_hex(3)}", custom_cluster.api())
    found.read(request.param, tmp_path_factory.mktemp("golden"))
    found.apply(objects=of_kind(found.objects, "Namespace"))
    yield found
    found.remove()


def test_everything_is_admitted_strictly_and_comes_about(tree: GoldenTree) -> None:
    """First asked only, then for real: no unknown field, no refusal by Pod Security, quota or a rule of a kind."""
    tree.apply("--dry-run=server")
    tree.add_disks()
    warned = tree.apply()
    (namespace,) = [item for item in of_kind(tree.objects, "Namespace") if item["metadata"]["name"] == tree.namespace]
    if namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted":
        assert "would violate PodSecurity" not in warned
    tree.apply(objects=[*jobs_of_schedules(tree), *phases_of_backups(tree)])
    assert_all_comes_about(tree)
    before = tree.generations()
    tree.apply()
    assert tree.generations() == before


def jobs_of_schedules(tree: GoldenTree) -> list[Object]:
    """What each CronJob would start."""
    found = []
    for item in of_kind(tree.objects, "CronJob"):
        template = item["spec"]["jobTemplate"]
        meta = {**template.get("metadata", {}), "name": f"try-{item['metadata']['name']}", "namespace": tree.namespace}
        found.append({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]})
    return found


def phases_of_backups(tree: GoldenTree) -> list[Object]:
    """What a backup's conductor makes from its templates."""
    found = []
    for item in of_kind(tree.objects, "ConfigMap"):
        for text in item["data"].values() if item["metadata"]["name"] == "backup-jobs" else ():
            job = json.loads(text)
            name = f"phase-{job['metadata']['labels']['moorage/phase']}"
            found.append({**job, "metadata": {**job["metadata"], "name": name, "namespace": tree.namespace}})
    return found


def assert_all_comes_about(tree: GoldenTree) -> None:
    """Every pod that is wanted is there and ready, which the quota and Pod Security had to allow; every Job is done."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while left := tree.unfinished():
        assert time.monotonic() < deadline, f"{left}:\n{tree.warnings()}"
        time.sleep(0.2)


def test_the_quota_has_room_for_all_that_may_run_at_once(tree: GoldenTree) -> None:
    """Every Deployment at the most that its autoscaler may ask for."""
    for item in of_kind(tree.objects, "HorizontalPodAutoscaler"):
        tree.scale(item["spec"]["scaleTargetRef"]["name"], item["spec"]["maxReplicas"])
    assert_all_comes_about(tree)


def test_the_trees_are_those_of_the_cases() -> None:
    """None is left out because it was written elsewhere."""
    cases = {path.parents[4].name for path in golden_trees.OVERLAYS}
    assert {"notes", "opensail", "bring-your-own"} <= cases
    rendered = {path.parent for path in golden_trees.CASES.glob("*/expected/*/k8s")}
    assert rendered == {path.parents[2] for path in golden_trees.OVERLAYS}
