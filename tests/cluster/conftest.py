"""A real Kubernetes for the tests of this folder."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import access
import definitions
import objects
import pytest
import real_node
import yaml
from access import Access

import cluster as rig_cluster
from tests.conftest import need


@pytest.fixture(scope="session")
def cluster() -> Iterator[Access]:
    """Full rights on a cluster: the kind or minikube one that KUBECONFIG names, or one of our own whose nodes only report."""
    if found := access.foreign():
        yield found
        return
    need(rig_cluster.is_prepared(with_node=False), "a compiled Kubernetes (make test-cluster)")
    with rig_cluster.Cluster() as own:
        yield own


@pytest.fixture(scope="session")
def custom_cluster(cluster: Access) -> Access:
    """The same cluster, with the kinds that other projects define; a foreign one keeps what it has of them."""
    need(definitions.are_here(), "definitions of custom resources (make test-cluster)")
    names = cluster.kubectl("get", "customresourcedefinitions", "-o", "jsonpath={.items[*].metadata.name}")
    for file in sorted(definitions.fetched().iterdir()):
        name = yaml.safe_load(file.read_text())["metadata"]["name"]
        if name not in names.split():
            cluster.kubectl("apply", "--server-side", "--field-manager=moorage-test", "-f", str(file))
        cluster.establish(name)
    return cluster


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[Access]:
    """Full rights on a cluster that runs containers: the one that KUBECONFIG names, or one of our own."""
    if found := access.foreign():
        yield found
        return
    need(rig_cluster.is_prepared(with_node=True), "a compiled Kubernetes (make test-cluster)")
    for image in (real_node.IMAGE, *objects.IMAGES):
        command = ["docker", "image", "inspect", image]
        need(
            subprocess.run(command, capture_output=True, check=False).returncode == 0,
            f"the image {image} (make images)",
        )
    with rig_cluster.Cluster(with_node=True) as own:
        own.load_images(objects.IMAGES)
        yield own


@pytest.fixture
def namespace(cluster: Access) -> Iterator[str]:
    """A namespace for one test."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture
def node_namespace(node_cluster: Access) -> Iterator[str]:
    """A namespace for one test, where containers run."""
    with _namespace(node_cluster) as name:
        yield name


@contextmanager
def _namespace(cluster: Access) -> Iterator[str]:
    name = f"test-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
