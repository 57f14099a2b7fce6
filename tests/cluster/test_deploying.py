"""`moorage up` and its kin on a real API server. Nodes only report here: no container runs, no command inside of one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from access import Access
from cluster_site import Site

pytestmark = pytest.mark.cluster

KILLS = int(os.environ.get("MOORAGE_KILLS", "3"))


@pytest.fixture
def site(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """A deployment that is not in the cluster yet."""
    found = Site(tmp_path / "site", cluster)
    yield found
    found.end()


def test_the_whole_app_is_applied_and_a_second_time_nothing_happens(site: Site) -> None:
    """Pod Security and the quota take everything; what is live is what is rendered, and nothing else."""
    assert site.run("plan").returncode == 2
    site.good("up")
    assert site.live() == site.rendered()
    before = site.started()
    assert set(before) == {"traefik", "postgres", "redis", "web", "worker"}

    again = site.good("up")
    assert "nothing to do" in again.stderr
    assert site.started() == before
    assert site.run("plan").returncode == 0
    levels = site.cluster.kubectl("get", "namespace", site.name, "-o", "jsonpath={.metadata.labels}")
    assert "pod-security.kubernetes.io/enforce" in levels


def test_a_changed_value_replaces_the_pods_that_use_it_and_no_others(site: Site) -> None:
    """And `plan` says so before."""
    site.good("up")
    before = site.started()
    site.settings["resources"] = {"host": {"memory": "4Gi", "cpus": 2}, "services": {"worker": {"memory": "300Mi"}}}
    site.write()

    plan = site.run("plan")
    assert plan.returncode == 2
    assert "pods are replaced: worker\n" in plan.stdout
    assert "± Deployment worker: spec.template.spec.containers[worker].resources" in plan.stdout
    site.good("up")
    after = site.started()
    assert {name for name in before if before[name] != after[name]} == {"worker"}
    assert site.live() == site.rendered()


def test_what_is_wanted_no_more_goes_and_its_disk_stays(site: Site) -> None:
    """A service of the app's file is taken out; its claim is told and kept."""
    source = yaml.safe_load((Path(__file__).parents[2] / "compose/apps/notes/compose.yaml").read_text())
    source["services"]["extra"] = {"image": "registry.example.com/extra:1", "volumes": ["attic:/data"]}
    source["volumes"] = {**source.get("volumes", {}), "attic": {}}
    (site.folder / "compose.yaml").write_text(yaml.safe_dump(source))
    site.settings["app"] = "compose.yaml"
    site.write()
    site.good("up")
    assert ("Deployment", "extra") in site.live()

    del source["services"]["extra"], source["volumes"]["attic"]
    (site.folder / "compose.yaml").write_text(yaml.safe_dump(source))
    done = site.good("up")
    assert "PersistentVolumeClaim attic is not wanted any more and stays" in done.stderr
    assert site.live() == site.rendered() | {("PersistentVolumeClaim", "attic")}
    assert "nothing to do" in site.good("up").stderr


def test_an_image_that_is_not_there_is_told_and_the_release_before_serves(site: Site) -> None:
    """The pod's own reason stands in the message."""
    site.good("up")
    before = site.started()
    site.images["overrides"] = {"worker": "registry.example.com/acme/notes:no-image"}
    site.write()

    failed = site.run("up")
    assert failed.returncode == 1
    assert "worker the image registry.example.com/acme/notes:no-image can't be had (ImagePullBackOff)" in failed.stderr
    assert "serves" in failed.stderr
    image = site.kubectl("get", "deployment", "worker", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "registry.example.com/acme/notes:latest"
    # It is one that is replaced, never run twice at once: its old pod went first.
    assert {name for name, pod in site.started().items() if before[name] != pod} == {"worker"}


def test_a_job_that_fails_stops_the_rollout(site: Site) -> None:
    """Its pods are the reason; the services keep the release before."""
    site.good("up")
    before = site.started()
    site.images["tag"] = "failed"
    site.write()

    failed = site.run("up")
    assert failed.returncode == 1
    assert "the job migrate failed" in failed.stderr
    assert site.started() == before


def test_going_back_and_forward_again(site: Site) -> None:
    """The earlier release's objects are applied again; its jobs are not run again."""
    site.good("up")
    site.settings["resources"] = {"host": {"memory": "4Gi", "cpus": 2}, "services": {"worker": {"memory": "300Mi"}}}
    site.write()
    site.good("up")
    jobs = site.kubectl("get", "jobs", "-o", "name")

    site.good("rollback", "--yes")
    limit = "jsonpath={.spec.template.spec.containers[0].resources.limits.memory}"
    assert site.kubectl("get", "deployment", "worker", "-o", limit) != "300Mi"
    assert site.kubectl("get", "jobs", "-o", "name") == jobs
    assert site.run("plan").returncode == 2
    site.good("up")
    assert site.kubectl("get", "deployment", "worker", "-o", limit) == "300Mi"
    assert site.live() == site.rendered()


def test_a_field_that_somebody_else_set_is_told_and_nothing_is_changed(site: Site) -> None:
    """Who, which field, which object."""
    site.good("up")
    site.kubectl("scale", "deployment", "web", "--replicas=3")
    revision = site.kubectl("get", "configmap", "moorage-inventory", "-o", "jsonpath={.metadata.resourceVersion}")

    refused = site.run("up")
    assert refused.returncode == 1
    assert "Deployment web: .spec.replicas was set by `kubectl`; nothing was changed" in refused.stderr
    assert site.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "3"
    same = site.kubectl("get", "configmap", "moorage-inventory", "-o", "jsonpath={.metadata.resourceVersion}")
    assert same == revision


def test_what_is_somebody_elses_is_refused(site: Site) -> None:
    """An object without a label, and one of another deployment."""
    site.cluster.kubectl("create", "namespace", site.name)
    refused = site.run("up")
    assert refused.returncode == 1
    assert (
        f"Namespace {site.name} is there already, and nothing says whose it is; nothing was changed" in refused.stderr
    )

    site.cluster.kubectl("label", "namespace", site.name, f"app.kubernetes.io/instance={site.name}")
    site.kubectl("create", "configmap", "backup-plan", "--from-literal=a=b")
    site.kubectl("label", "configmap", "backup-plan", "app.kubernetes.io/instance=other")
    refused = site.run("up")
    assert f"ConfigMap backup-plan in {site.name} belongs to the deployment other" in refused.stderr
    assert "moorage-inventory" not in site.kubectl("get", "configmaps", "-o", "name")


def test_a_disk_never_shrinks_and_a_label_that_finds_pods_never_changes(site: Site) -> None:
    """The first stays and is told; the second is found before anything is changed."""
    site.kubernetes["volumes"] = {"uploads": "3Gi"}
    site.write()
    site.good("up")
    site.kubernetes["volumes"] = {"uploads": "1Gi"}
    site.write()
    assert "the disk uploads stays at 3Gi: none ever gets smaller" in site.good("up").stderr
    assert "nothing to do" in site.good("up").stderr

    web = json.loads(site.kubectl("get", "deployment", "web", "-o", "json"))
    site.kubectl("delete", "deployment", "web")
    web["spec"]["selector"]["matchLabels"]["a"] = web["spec"]["template"]["metadata"]["labels"]["a"] = "b"
    web["metadata"] = {key: web["metadata"][key] for key in ("name", "namespace", "labels")}
    web = {key: web[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    site.cluster.kubectl("apply", "--server-side", "--field-manager=moorage", "-f", "-", stdin=json.dumps(web))
    site.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    site.settings["resources"] = {"host": {"memory": "4Gi", "cpus": 2}, "services": {"worker": {"memory": "300Mi"}}}
    site.write()
    before = site.started()
    refused = site.run("up")
    assert refused.returncode == 1
    assert "Deployment web" in refused.stderr
    assert "field is immutable" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert site.started() == before


def test_who_may_not_is_told_verb_and_kind(site: Site, tmp_path: Path) -> None:
    """A user who may only look; `check` finds it as well."""
    site.cluster.kubectl(
        "create", "clusterrolebinding", f"{site.name}-look", "--clusterrole=view", f"--user={site.name}"
    )
    try:
        kubeconfig = tmp_path / "kubeconfig"
        content = yaml.safe_load(site.cluster.kubeconfig.read_text())
        for user in content["users"]:
            user["user"]["as"] = site.name
        token = site.cluster.kubectl("create", "token", "default", "-n", "default").strip()
        for user in content["users"]:
            user["user"] = {"token": token}
        kubeconfig.write_text(yaml.safe_dump(content))
        refused = site.run("up", "--skip-checks", KUBECONFIG=str(kubeconfig))
        assert refused.returncode == 1
        assert "cannot get resource" in refused.stderr
        checked = site.run("check", KUBECONFIG=str(kubeconfig))
        assert checked.returncode == 1
        assert "not allowed to" in checked.stderr
    finally:
        site.cluster.kubectl("delete", "clusterrolebinding", f"{site.name}-look")


def test_the_context_is_the_configured_one_or_confirmed(site: Site, tmp_path: Path) -> None:
    """Never the current one; what looks like production is asked about."""
    configured = site.kubernetes.pop("context")
    site.write()
    lacking = site.run("up")
    assert lacking.returncode == 1
    assert "does not say which cluster it is for" in lacking.stderr
    assert "context" in site.run("check").stderr

    site.kubernetes["context"] = configured[:-1]
    site.write()
    assert f"did you mean {configured}?" in site.run("up").stderr

    content = yaml.safe_load(site.cluster.kubeconfig.read_text())
    entry = next(item for item in content["contexts"] if item["name"] == configured)
    content["contexts"].append({**entry, "name": "acme-prod"})
    (tmp_path / "more").write_text(yaml.safe_dump(content))
    site.kubernetes["context"] = "acme-prod"
    site.write()
    doubted = site.run("status", KUBECONFIG=str(tmp_path / "more"))
    assert "looks like production" in doubted.stderr or "nothing is rendered" in doubted.stderr
    doubted = site.run("up", KUBECONFIG=str(tmp_path / "more"))
    assert doubted.returncode == 1
    assert "looks like production" in doubted.stderr
    assert site.name not in site.cluster.kubectl("get", "namespaces", "-o", "name")


def test_down_and_up_again_and_uninstall(site: Site) -> None:
    """Data stays until it is purged with the name typed."""
    site.good("up")
    site.good("down")
    assert site.started() == {}
    status = json.loads(site.run("status", "--json").stdout)
    assert status["good"] is False
    assert not [row for row in status["services"] if row["good"]]
    disks = {name for kind, name in site.live() if kind == "PersistentVolumeClaim"}
    site.good("up")
    assert set(site.started()) == {"traefik", "postgres", "redis", "web", "worker"}

    site.good("uninstall", "--yes")
    left = site.live()
    assert {name for kind, name in left if kind == "PersistentVolumeClaim"} == disks
    assert not {kind for kind, _ in left} & {"Deployment", "StatefulSet", "Secret", "Service"}
    site.good("up")
    assert site.run("uninstall", "--purge").returncode == 1
    site.good("uninstall", "--purge", "--name", site.name)
    assert f"namespace/{site.name}\n" not in site.cluster.kubectl("get", "namespaces", "-o", "name")
    assert not (site.folder / "secrets" / "eks-test").exists()


def test_a_killed_run_is_finished_by_the_next(site: Site) -> None:
    """At any moment: afterwards what is live is what is rendered, and nothing more is to be done."""
    started = time.monotonic()
    site.good("up")
    length = time.monotonic() - started
    chance = random.Random()
    for number in range(KILLS):
        site.settings["resources"] = {
            "host": {"memory": "4Gi", "cpus": 2},
            "services": {"worker": {"memory": f"{300 + number}Mi"}, "web": {"memory": f"{400 + number}Mi"}},
        }
        site.write()
        moment = chance.uniform(0.3, length)
        process = subprocess.Popen(
            site.command("up"), env=site.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        site.good("up")
        assert site.live() == site.rendered(), f"killed after {moment:.2f} s"
        assert site.run("plan").returncode == 0, f"killed after {moment:.2f} s"
