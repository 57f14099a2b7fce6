"""Every golden tree on a real API server: admitted as a whole, and everything in it comes about. No container runs here."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import golden_trees
import pytest
from access import Access
from golden_trees import GoldenTree

from tests.golden.manifests import Object, names, of_kind

pytestmark = pytest.mark.cluster

_GENERATIONS = "jsonpath={range .items[*]}{.kind}/{.metadata.name}/{.metadata.generation}{'\\n'}{end}"
_LIMIT = "60s"


@pytest.fixture(scope="module", params=golden_trees.OVERLAYS, ids=golden_trees.name_of)
def tree(
    request: pytest.FixtureRequest, custom_cluster: Access, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoldenTree]:
    """A tree whose namespace exists, and nothing else of it."""
    if custom_cluster.is_foreign:
        pytest.skip("the images of the golden trees are nowhere, and a foreign cluster would look for them")
    found = GoldenTree(custom_cluster, f"golden-{secrets.token_hex(3)}")
    found.read(request.param, tmp_path_factory.mktemp("golden"))
    found.apply(objects=of_kind(found.objects, "Namespace"))
    yield found
    found.remove()


def test_everything_is_admitted_strictly_and_comes_about(tree: GoldenTree) -> None:
    """First asked only, then for real: no unknown field, no refusal by Pod Security, quota or a rule of a kind."""
    tree.apply("--dry-run=server")
    tree.add_disks()
    warned = tree.apply()
    levels = json.loads(tree.ask("get", "namespace", tree.namespace, "-o", "jsonpath={.metadata.labels}"))
    if levels["pod-security.kubernetes.io/enforce"] == "restricted":
        assert "would violate PodSecurity" not in warned
    started = [*names(tree.objects, "Job"), *jobs_of_schedules(tree), *phases_of_backups(tree)]
    assert_rolled_out(tree, of_kind(tree.objects, "Deployment", "StatefulSet"))
    assert_complete(tree, started)
    before = tree.ask("get", "deployments,statefulsets,services,ingresses", "-o", _GENERATIONS)
    tree.apply()
    assert tree.ask("get", "deployments,statefulsets,services,ingresses", "-o", _GENERATIONS) == before


def jobs_of_schedules(tree: GoldenTree) -> list[str]:
    """Start every CronJob's Job now."""
    found = {f"try-{name}"[:60]: name for name in names(tree.objects, "CronJob")}
    for job, name in found.items():
        tree.ask("create", "job", job, f"--from=cronjob/{name}")
    return list(found)


def phases_of_backups(tree: GoldenTree) -> list[str]:
    """Start the Jobs that a backup's conductor makes from its templates."""
    found: dict[str, Object] = {}
    for item in of_kind(tree.objects, "ConfigMap"):
        for text in item["data"].values() if item["metadata"]["name"] == "backup-jobs" else ():
            job = json.loads(text)
            name = f"phase-{job['metadata']['labels']['moorage/phase']}"
            found[name] = {**job, "metadata": {**job["metadata"], "name": name, "namespace": tree.namespace}}
    if found:
        tree.apply(objects=list(found.values()))
    return list(found)


def assert_rolled_out(tree: GoldenTree, workloads: list[Object]) -> None:
    """Every pod that is wanted is there and ready, which the quota and Pod Security had to allow."""
    for item in workloads:
        what = f"{item['kind'].lower()}/{item['metadata']['name']}"
        done = tree.cluster.try_kubectl("-n", tree.namespace, "rollout", "status", what, f"--timeout={_LIMIT}")
        assert done.returncode == 0, f"{what}: {done.stdout}{done.stderr}{reasons(tree)}"


def assert_complete(tree: GoldenTree, jobs: list[str]) -> None:
    wait = ("wait", "--for=condition=Complete", f"--timeout={_LIMIT}", *(f"job/{name}" for name in jobs))
    done = tree.cluster.try_kubectl("-n", tree.namespace, *wait)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{reasons(tree)}"


def reasons(tree: GoldenTree) -> str:
    """What the cluster says of what it refused."""
    return tree.ask("get", "events", "--field-selector=type=Warning", "-o", "custom-columns=:.reason,:.message")


def test_the_quota_has_room_for_all_that_may_run_at_once(tree: GoldenTree) -> None:
    """Every Deployment at the most that its autoscaler may ask for."""
    scaled = {
        item["spec"]["scaleTargetRef"]["name"]: item["spec"]["maxReplicas"]
        for item in of_kind(tree.objects, "HorizontalPodAutoscaler")
    }
    for name, most in scaled.items():
        tree.ask("scale", f"deployment/{name}", f"--replicas={most}")
    deployments = of_kind(tree.objects, "Deployment")
    assert_rolled_out(tree, [item for item in deployments if item["metadata"]["name"] in scaled])


def test_the_trees_are_those_of_the_cases() -> None:
    """None is left out because it was written elsewhere."""
    cases = {path.parents[4].name for path in golden_trees.OVERLAYS}
    assert {"notes", "opensail", "bring-your-own"} <= cases
    rendered = {path.parent for path in golden_trees.CASES.glob("*/expected/*/k8s")}
    assert rendered == {path.parents[2] for path in golden_trees.OVERLAYS}
