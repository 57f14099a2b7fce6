"""A component of an app on a real API server: OpenSail's Volume Hub. Nodes only report here: no container runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access import Access
from cluster_site import Site

pytestmark = pytest.mark.cluster

SPACE, DRIVER = "tesslate-volumes", "btrfs.csi.tesslate.io"
SETTINGS: dict[str, Any] = {
    "app": "opensail",
    "domain": {"name": "studio.example.com", "wildcard": True},
    "resources": {"host": {"memory": "16Gi", "cpus": 4}},
    "env": {"PROJECTS_BUCKET": "acme-projects"},
}
SNAPSHOTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "volumesnapshotclasses.snapshot.storage.k8s.io",
        "annotations": {
            "api-approved.kubernetes.io": "https://github.com/kubernetes-csi/external-snapshotter/pull/814"
        },
    },
    "spec": {
        "group": "snapshot.storage.k8s.io",
        "scope": "Cluster",
        "names": {"kind": "VolumeSnapshotClass", "plural": "volumesnapshotclasses", "singular": "volumesnapshotclass"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"driver": {"type": "string"}, "deletionPolicy": {"type": "string"}},
                    }
                },
            }
        ],
    },
}
DISK = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "vol-pv-somebodys-project"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": DRIVER, "volumeHandle": "vol-1"},
    },
}


@pytest.fixture
def site(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    """OpenSail with its hub on, not deployed yet."""
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(SNAPSHOTS))
    cluster.establish("volumesnapshotclasses.snapshot.storage.k8s.io")
    found = Site(tmp_path / "site", cluster, **SETTINGS)
    found.kubernetes |= {"namespace": found.name, "components": ["volume-hub"]}
    found.write()
    yield found
    found.end()
    kinds = "csidriver,storageclass,clusterrole,clusterrolebinding,volumesnapshotclass,ingressclass"
    cluster.kubectl("delete", kinds, "-l", f"app.kubernetes.io/instance={found.name}")
    cluster.kubectl("delete", "pv", DISK["metadata"]["name"], "--ignore-not-found", "--wait=false")  # type: ignore[index]
    cluster.kubectl("delete", "namespace", SPACE, "--ignore-not-found")


def pods(site: Site, name: str) -> dict[str, str]:
    """When each pod of a workload was made, by its unique id."""
    found = json.loads(
        site.cluster.kubectl("-n", SPACE, "get", "pods", "-l", f"app.kubernetes.io/name={name}", "-o", "json")
    )
    return {
        item["metadata"]["uid"]: item["metadata"]["creationTimestamp"]
        for item in found["items"]
        if "deletionTimestamp" not in item["metadata"]
    }


def test_a_component_comes_is_looked_after_and_goes(site: Site) -> None:
    """Both namespaces are new; every node gets the driver, then the hub; a disk of the driver keeps it from going."""
    site.good("up")
    nodes, hub = pods(site, "volume-node"), pods(site, "volume-hub")
    assert len(nodes) == len(site.cluster.kubectl("get", "nodes", "-o", "name").split())
    assert min(hub.values()) >= max(nodes.values())
    assert "nothing to do" in site.good("up").stderr
    assert site.run("plan").returncode == 0

    rows = {row["service"]: row for row in json.loads(site.run("status", "--json").stdout)["services"]}
    assert rows["volume-node"]["good"]
    assert rows["volume-node"]["wanted"] == len(nodes)
    findings = json.loads(site.run("check", "--json").stdout)["findings"]
    assert [item["text"] for item in findings if item["check"] == "drivers"] == [
        f"volume-node is up on each of {len(nodes)} nodes"
    ]

    site.settings["env"] = {**SETTINGS["env"], "PROJECTS_POOL_GIGABYTES": 60}
    site.write()
    site.good("up")
    after_nodes, after_hub = pods(site, "volume-node"), pods(site, "volume-hub")
    assert not after_nodes.keys() & nodes.keys()
    assert not after_hub.keys() & hub.keys()
    assert min(after_hub.values()) >= max(after_nodes.values())

    site.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(DISK))
    del site.kubernetes["components"]
    site.write()
    refused = site.run("up")
    assert refused.returncode == 1
    assert f"1 disk of the driver {DRIVER} could not be mounted any more" in refused.stderr
    assert pods(site, "volume-node").keys() == after_nodes.keys()
    site.cluster.kubectl("delete", "pv", "vol-pv-somebodys-project")
    site.good("up")
    assert "daemonset" not in site.cluster.kubectl("-n", SPACE, "get", "daemonsets,deployments,secrets", "-o", "name")
    assert DRIVER not in site.cluster.kubectl("get", "csidrivers", "-o", "name")


def test_purging_takes_the_namespace_of_a_component_and_says_what_stays_on_the_nodes(site: Site) -> None:
    site.good("up")
    done = site.good("uninstall", "--purge", "--name", site.name)
    assert "/mnt/tesslate-pool-data/pool.img" in done.stderr
    assert f"Namespace {SPACE}" in done.stderr
    mine = f"app.kubernetes.io/instance={site.name}"
    kinds = "csidrivers,storageclasses,clusterroles,clusterrolebindings,volumesnapshotclasses"
    assert site.cluster.kubectl("get", kinds, "-l", mine, "-o", "name") == ""
