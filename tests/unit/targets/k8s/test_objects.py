"""Around the pods: jobs, who reaches whom, what may be done, how many there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.targets.k8s.given import MINIKUBE, ROUTED, manifests, names, objects, one, pod

JOB = {"x-moorage": {"jobs": {"migrate": {"service": "web", "command": ["m"], "run": "before-rollout"}}}}
WEB = {"image": "nginx:1.27", "x-moorage": ROUTED}


def job_name(folder: Path, image: str = "nginx:1.27", value: str = "x") -> str:
    service = {**WEB, "image": image, "environment": {"A": value}}
    (name,) = names(manifests(folder, {"web": service}, top=JOB), "Job")
    return name


def test_a_job_runs_again_only_when_what_it_runs_is_another(tmp_path: Path) -> None:
    first = job_name(tmp_path / "1")
    assert job_name(tmp_path / "2") == first
    assert job_name(tmp_path / "3", image="nginx:1.28") != first
    assert job_name(tmp_path / "4", value="y") != first


def test_a_job_by_schedule_is_a_cron_job_and_one_for_people_waits(tmp_path: Path) -> None:
    jobs = {
        "nightly": {"service": "web", "command": ["n"], "schedule": "5 4 * * *"},
        "seed": {"service": "web", "command": ["s"], "run": "manual"},
    }
    rendered = manifests(tmp_path, {}, top={"x-moorage": {"jobs": jobs}})
    nightly, seed = (one(rendered, "CronJob", name)["spec"] for name in ("nightly", "seed"))
    assert (nightly["schedule"], nightly["suspend"], nightly["concurrencyPolicy"]) == ("5 4 * * *", False, "Forbid")
    assert seed["suspend"] is True


def test_a_network_without_a_way_out_has_none(tmp_path: Path) -> None:
    top = {"networks": {"back": {"internal": True}, "front": {}}}
    services = {
        "web": {**WEB, "networks": ["front", "back"]},
        "store": {"image": "minio:1", "networks": ["back"]},
    }
    rendered = manifests(tmp_path, services, top=top)
    back = one(rendered, "NetworkPolicy", "network-back")["spec"]
    front = one(rendered, "NetworkPolicy", "network-front")["spec"]
    assert len(back["egress"]) == 1
    assert any("ipBlock" in peer for rule in front["egress"] for peer in rule["to"])
    assert all("169.254.0.0/16" in peer["ipBlock"]["except"] for rule in front["egress"] for peer in rule["to"] if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0")  # fmt: skip
    labels = one(rendered, "Deployment", "store")["spec"]["template"]["metadata"]["labels"]
    assert [name for name in labels if name.startswith("moorage/network.")] == ["moorage/network.back"]


def test_a_database_of_somebody_else_is_reached_at_its_port_only(tmp_path: Path) -> None:
    top = {"x-moorage": {"requires": {"postgres": {"database": "x"}}}}
    settings = "postgres: {mode: external, host: db.example.com, port: 5433}\n"
    rendered = manifests(
        tmp_path, {}, settings, top=top, files={"secrets/minikube/values/POSTGRES_PASSWORD": "secret\n"}
    )
    assert one(rendered, "NetworkPolicy", "external-databases")["spec"]["egress"] == [
        {"ports": [{"port": 5433, "protocol": "TCP"}]}
    ]
    assert "network-data" not in names(rendered, "NetworkPolicy")


def test_rights_are_given_as_they_are_asked_for_and_nobody_else_has_a_token(tmp_path: Path) -> None:
    rule = {"resources": ["pods"], "verbs": ["get"]}
    access = {"reason": "it looks", "namespace": [rule], "cluster": [{"groups": ["apps"], **rule}]}
    services = {"web": {**WEB, "x-moorage": {**ROUTED, "kubernetes_access": access}}, "other": {"image": "nginx:1.27"}}
    rendered = manifests(tmp_path, services, "permissions: {cluster_access: [web]}\n")
    assert one(rendered, "Role", "web")["rules"] == [{"apiGroups": [""], **rule}]
    assert one(rendered, "ClusterRole", "acme-web")["rules"] == [{"apiGroups": ["apps"], **rule}]
    assert one(rendered, "ClusterRoleBinding", "acme-web")["subjects"][0]["namespace"] == "acme"
    assert pod(rendered)["automountServiceAccountToken"] is True
    assert pod(rendered, "other")["automountServiceAccountToken"] is False


def test_where_replicas_may_vary_the_cluster_chooses_their_number(tmp_path: Path) -> None:
    rendered = manifests(tmp_path, {}, "resources: {services: {web: {replicas: 2, max_replicas: 5}}}\n")
    scaler = one(rendered, "HorizontalPodAutoscaler", "web")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert "replicas" not in one(rendered, "Deployment", "web")["spec"]


def test_no_budget_keeps_a_node_from_being_replaced(tmp_path: Path) -> None:
    rendered = manifests(tmp_path, {})
    assert one(rendered, "PodDisruptionBudget", "web")["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("service", "level"),
    [
        ({"user": "1000", "x-moorage": {**ROUTED, "security": {"capabilities": []}}}, "restricted"),
        ({}, "baseline"),
        ({"volumes": ["/srv/data:/data"]}, "privileged"),
    ],
)
def test_the_namespace_is_as_strict_as_its_pods_allow(service: dict[str, Any], level: str, tmp_path: Path) -> None:
    settings = "backups: {enabled: false}\npermissions: {host_paths: [/srv/data]}\n"
    rendered = manifests(tmp_path, {"web": {**WEB, **service}}, settings)
    labels = one(rendered, "Namespace", "acme")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == level


def test_a_published_port_has_a_load_balancer_and_is_open(tmp_path: Path) -> None:
    settings = "publish: [{service: web, port: 2222, target: 22}]\n"
    rendered = manifests(tmp_path, {}, settings)
    service = one(rendered, "Service", "web-published")["spec"]
    assert service["ports"] == [{"name": "tcp-2222", "port": 2222, "targetPort": 22, "protocol": "TCP"}]
    assert one(rendered, "NetworkPolicy", "published-web")["spec"]["ingress"] == [
        {"ports": [{"port": 22, "protocol": "TCP"}]}
    ]


def test_a_drill_has_no_network_at_all(tmp_path: Path) -> None:
    rendered = manifests(tmp_path, {})
    selectors = {item["metadata"]["name"]: item["spec"]["podSelector"] for item in objects(rendered) if item["kind"] == "NetworkPolicy"}  # fmt: skip
    (rule,) = selectors["name-service"]["matchExpressions"]
    assert (rule["key"], rule["operator"]) == ("moorage/phase", "NotIn")
    assert "backup-drill" in rule["values"]
    # The others find their pods by labels that a drill has not.
    for name, selector in selectors.items():
        if name not in ("closed", "name-service"):
            assert selector.get("matchLabels"), name


def test_ingress_nginx_gets_the_same_routes_in_its_own_words(tmp_path: Path) -> None:
    routes = [
        {"paths": ["/"], "deny": ["/internal"], "sticky": True},
        {"paths": ["/api"], "strip_prefix": True, "headers": {"X-A": "b"}},
    ]
    service = {**WEB, "x-moorage": {"port": 80, "route": routes}}
    base = MINIKUBE + "kubernetes: {ingress: nginx}\n"
    rendered = manifests(tmp_path, {"web": service}, base=base)
    by_name = {item["metadata"]["name"]: item for item in objects(rendered) if item["kind"] == "Ingress"}
    option = "nginx.ingress.kubernetes.io/"
    assert all(item["spec"]["ingressClassName"] == "nginx" for item in by_name.values())
    denied = [item for name, item in by_name.items() if "denied" in name]
    assert {item["metadata"]["annotations"][f"{option}whitelist-source-range"] for item in denied} == {
        "255.255.255.255/32"
    }
    (stripped,) = [item for item in by_name.values() if f"{option}rewrite-target" in item["metadata"]["annotations"]]
    assert stripped["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/api(/|$)(.*)"
    (headers,) = [item for item in objects(rendered) if item["kind"] == "ConfigMap" and "X-A" in item["data"]]
    assert headers["data"]["X-A"] == "b"
    assert not any(path.startswith("k8s/platform/traefik") for path in rendered.public.files)


def test_nobody_else_may_give_the_job_that_is_made_here_and_a_ready_made_one_is_pulled(tmp_path: Path) -> None:
    def pull(folder: Path, settings: str) -> str:
        night = one(manifests(folder, {"web": WEB}, settings), "CronJob", "backup")
        (container,) = night["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        return str(container["imagePullPolicy"])

    assert pull(tmp_path / "1", "") == "Never"
    assert pull(tmp_path / "2", "backups: {image: acme/moorage-job:1}\n") == "IfNotPresent"
