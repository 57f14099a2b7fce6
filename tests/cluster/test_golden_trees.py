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
    assert_all_progress(tree)
    assert_jobs_of_schedules_run(tree)
    assert_phases_of_backups_run(tree)
    # The same again changes nothing.
    before = tree.ask("get", "deployments,statefulsets,services,ingresses", "-o", VERSIONS)
    tree.apply()
    assert tree.ask("get", "deployments,statefulsets,services,ingresses", "-o", VERSIONS) == before


VERSIONS = "jsonpath={range .items[*]}{.kind}/{.metadata.name}/{.metadata.generation}{'\\n'}{end}"


def assert_all_progress(tree: GoldenTree) -> None:
    """Every pod that is wanted is there and ready, which the quota and Pod Security had to allow."""
    for item in of_kind(tree.objects, "Deployment", "StatefulSet"):
        what = f"{item['kind'].lower()}/{item['metadata']['name']}"
        done = tree.cluster.try_kubectl("-n", tree.namespace, "rollout", "status", what, "--timeout=60s")
        assert done.returncode == 0, f"{what}: {done.stdout}{reasons(tree)}"
    for name in names(tree.objects, "Job"):
        wait_for_job(tree, name)


def assert_jobs_of_schedules_run(tree: GoldenTree) -> None:
    for name in names(tree.objects, "CronJob"):
        tree.ask("create", "job", f"try-{name}"[:60], f"--from=cronjob/{name}")
        wait_for_job(tree, f"try-{name}"[:60])


def assert_phases_of_backups_run(tree: GoldenTree) -> None:
    """The Jobs that the backup's conductor makes from its templates."""
    for item in of_kind(tree.objects, "ConfigMap"):
        if item["metadata"]["name"] == "backup-jobs":
            for text in item["data"].values():
                job: Object = json.loads(text)
                name = f"phase-{job['metadata']['labels']['moorage/phase']}"
                job["metadata"] |= {"name": name, "namespace": tree.namespace}
                tree.apply(objects=[job])
                wait_for_job(tree, name)


def wait_for_job(tree: GoldenTree, name: str) -> None:
    done = tree.cluster.try_kubectl(
        "-n", tree.namespace, "wait", "--for=condition=Complete", f"job/{name}", "--timeout=60s"
    )
    assert done.returncode == 0, f"job {name}: {done.stderr}{reasons(tree)}"


def reasons(tree: GoldenTree) -> str:
    """What the cluster says of what it refused."""
    return tree.ask("get", "events", "--field-selector=type=Warning", "-o", "custom-columns=:.reason,:.message")


def test_the_quota_has_room_for_all_that_may_run_at_once(tree: GoldenTree) -> None:
    """Every Deployment at the most that its autoscaler may ask for."""
    for item in of_kind(tree.objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]["name"]
        tree.ask("scale", f"deployment/{target}", f"--replicas={item['spec']['maxReplicas']}")
    assert_all_progress(tree)


def test_the_trees_are_those_of_the_cases() -> None:
    """None is left out because it was written elsewhere."""
    cases = {path.parents[4].name for path in golden_trees.OVERLAYS}
    assert {"notes", "opensail", "bring-your-own"} <= cases
    rendered = {path.parent for path in golden_trees.CASES.glob("*/expected/*/k8s")}
    assert rendered == {path.parents[2] for path in golden_trees.OVERLAYS}
