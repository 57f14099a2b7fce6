"""What the rendered manifests are, read from what the real kustomize makes of them: valid, whole, confined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.manifests import Object, build, matches, names, of_kind, pod_templates
from tests.golden.test_golden import CASES, render_case

OVERLAYS = sorted(
    path for path in (Path(__file__).parent / "cases").glob("*/expected/*/k8s/overlays/*") if path.name != "aws-base"
)
_NAME = "app.kubernetes.io/name"
VERSIONS = ("1.35", "1.36", "1.37")
# What the cluster has by itself, or what another object makes.
_MADE_ELSEWHERE = {"site-certificate"}
_PRIORITIES = {"system-node-critical", "system-cluster-critical"}
# Who may do what it likes on a node, and why nothing less will do: it mounts there.
_PRIVILEGED = {"DaemonSet/volume-node": {"prepare-pool", "driver"}}

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda path: f"{path.parents[4].name}-{path.parents[2].name}")
def overlay(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def objects(overlay: Path) -> list[Object]:
    return build(overlay)


@pytest.fixture(scope="module")
def secrets(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    folder = tmp_path_factory.mktemp("private")
    case, environment = overlay.parents[4], overlay.parents[2].name
    deployment, rendering = render_case(case, folder / "deployment", environment)
    rendering.private.write(deployment.private_folder)
    return build(deployment.private_folder)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_for_a_version_of_kubernetes(objects: list[Object], version: str) -> None:
    import kubernetes_validate

    checked = 0
    for item in objects:
        if "." in item["apiVersion"].partition("/")[0] and not item["apiVersion"].partition("/")[0].endswith(".k8s.io"):
            continue
        if item["apiVersion"].startswith("snapshot."):
            continue
        kubernetes_validate.validate(item, version, strict=True)
        checked += 1
    assert checked > 20


def test_every_container_has_limits_and_gives_up_what_it_does_not_need(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        assert template["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert template["spec"]["serviceAccountName"], name
        for container in template["spec"]["containers"]:
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            if container["name"] in _PRIVILEGED.get(name, ()):
                continue
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert "platform-" not in container["image"], name


def test_every_name_that_a_pod_uses_is_there(objects: list[Object], secrets: list[Object]) -> None:
    known = {
        "ConfigMap": names(objects, "ConfigMap"),
        "Secret": names(secrets, "Secret") | _MADE_ELSEWHERE,
        "PersistentVolumeClaim": names(objects, "PersistentVolumeClaim"),
        "ServiceAccount": names(objects, "ServiceAccount"),
        "PriorityClass": names(objects, "PriorityClass") | _PRIORITIES,
    }
    for name, template in pod_templates(objects):
        assert_names_are_known(name, template["spec"], known)
    for item in of_kind(objects, "ConfigMap"):
        if item["metadata"]["name"] == "backup-jobs":
            for phase, text in item["data"].items():
                assert_names_are_known(phase, json.loads(text)["spec"]["template"]["spec"], known)


def assert_names_are_known(name: str, spec: Object, known: dict[str, set[str]]) -> None:
    assert spec["serviceAccountName"] in known["ServiceAccount"], name
    assert spec.get("priorityClassName", next(iter(known["PriorityClass"]))) in known["PriorityClass"], name
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            assert volume["configMap"]["name"] in known["ConfigMap"], name
        if "secret" in volume:
            assert volume["secret"]["secretName"] in known["Secret"], name
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in known["PersistentVolumeClaim"], name
    mounted = {volume["name"] for volume in spec.get("volumes", [])}
    for container in spec["containers"]:
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= mounted, name
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        assert len(paths) == len(set(paths)), f"{name} mounts twice at one place"
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] in known["ConfigMap"], name
            elif not source["secretRef"].get("optional"):
                assert source["secretRef"]["name"] in known["Secret"], name


def test_every_service_leads_somewhere_and_every_route_to_a_service(objects: list[Object]) -> None:
    labels = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
    ports: dict[str, set[int]] = {}
    for item in of_kind(objects, "Service"):
        selector = {"matchLabels": item["spec"]["selector"]}
        assert any(matches(selector, found) for found in labels), item["metadata"]["name"]
        ports[item["metadata"]["name"]] = {port["port"] for port in item["spec"].get("ports", [])}
    for item in of_kind(objects, "Ingress"):
        for rule in item["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                assert service["port"]["number"] in ports[service["name"]], item["metadata"]["name"]


def test_every_policy_is_about_somebody_and_what_has_none_is_closed(objects: list[Object]) -> None:
    labels = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
    phases = [
        json.loads(text)["spec"]["template"]["metadata"]["labels"]
        for item in of_kind(objects, "ConfigMap")
        if item["metadata"]["name"] == "backup-jobs"
        for text in item["data"].values()
    ]
    solver = [{"acme.cert-manager.io/http01-solver": "true"}]
    for item in of_kind(objects, "NetworkPolicy"):
        selector = item["spec"]["podSelector"]
        assert any(matches(selector, found) for found in (*labels, *phases, *solver)), item["metadata"]["name"]
    closed = {
        item["metadata"]["namespace"]
        for item in of_kind(objects, "NetworkPolicy")
        if (item["spec"]["podSelector"], item["spec"]["policyTypes"]) == ({}, ["Ingress", "Egress"])
        and not {"ingress", "egress"} & set(item["spec"])
    }
    assert closed == names(objects, "Namespace")


def test_what_may_do_anything_on_a_node_is_apart_from_the_app(objects: list[Object]) -> None:
    privileged = {
        item["metadata"]["namespace"]
        for item in of_kind(objects, "DaemonSet", "Deployment", "StatefulSet")
        for kind in ("containers", "initContainers")
        for container in item["spec"]["template"]["spec"].get(kind, [])
        if container["securityContext"].get("privileged")
    }
    levels = {
        item["metadata"]["name"]: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for item in of_kind(objects, "Namespace")
    }
    assert {levels[name] for name in privileged} <= {"privileged"}
    assert not privileged & {item["metadata"]["namespace"] for item in of_kind(objects, "Ingress")}
    assert bool(privileged) == bool(of_kind(objects, "CSIDriver"))


def test_what_belongs_to_the_whole_cluster_is_in_no_namespace(objects: list[Object]) -> None:
    for item in of_kind(objects, "CSIDriver", "ClusterRole", "Namespace", "StorageClass", "VolumeSnapshotClass"):
        assert "namespace" not in item["metadata"], item["metadata"]["name"]


def test_the_app_and_its_components_agree_on_their_ports(objects: list[Object]) -> None:
    """What one side may send, the other side may receive."""
    sent, received = set(), set()
    for item in of_kind(objects, "NetworkPolicy"):
        own = (item["metadata"]["namespace"], item["spec"]["podSelector"].get("matchLabels", {}).get(_NAME))
        for direction, key in (("egress", "to"), ("ingress", "from")):
            for rule in item["spec"].get(direction, []):
                for peer in rule.get(key, []):
                    space = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
                    other = (space, peer.get("podSelector", {}).get("matchLabels", {}).get(_NAME))
                    if all((*own, *other)):
                        ports = tuple(port["port"] for port in rule["ports"])
                        (sent if direction == "egress" else received).add(
                            (own, other, ports) if direction == "egress" else (other, own, ports)
                        )
    assert sent == received
    assert bool(sent) == (len(of_kind(objects, "Namespace")) > 1)


def test_who_has_no_rights_gets_no_token(objects: list[Object]) -> None:
    bound = {
        subject["name"]
        for item in of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        for subject in item["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    for name, template in pod_templates(objects):
        account = template["spec"]["serviceAccountName"]
        # The proxy's own account says nothing: it needs its token.
        has_token = template["spec"].get("automountServiceAccountToken", True)
        assert has_token == (account in bound), name


def test_no_secret_is_among_the_objects_that_may_be_committed(objects: list[Object]) -> None:
    assert not of_kind(objects, "Secret")


def test_the_environments_of_the_first_case_are_those_of_init() -> None:
    found: dict[str, Any] = {}
    for path in OVERLAYS:
        found.setdefault(path.parents[4].name, []).append((path.parents[2].name, path.name))
    assert len(CASES) > len(found) // 2
    assert found["notes"] == [
        ("eks-beta", "aws-beta"),
        ("eks-production", "aws-production"),
        ("minikube", "minikube"),
    ]
