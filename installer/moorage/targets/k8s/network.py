"""Who reaches whom: Services by the names that the app uses, and policies that allow just what its networks allow.

A network of the Compose file is a label on pods: those with the same one may talk to each other. One that is `internal`
has no way out. Everything else is closed.
"""

from __future__ import annotations

from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import (
    APP_NETWORK,
    BACKUP_NETWORK,
    DATA_NETWORK,
    EDGE_NETWORK,
    BundledPostgres,
    BundledRedis,
    ExternalPostgres,
    ExternalRedis,
    Service,
    Stack,
)
from moorage.targets.backup_plan import needs_network
from moorage.targets.k8s import ingress, names

# Private ranges: nodes, other pods, the metadata service of the cloud. Who needs them says so with a network.
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"]
PRIVATE_6 = ["fc00::/7", "fe80::/10"]
INTERFACE_PORTS = (443, 6443, 8443)
# What cert-manager puts on the pods that answer an HTTP challenge.
SOLVERS = {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
# The pods of an ingress-nginx, in whichever namespace the cluster has it.
NGINX = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "ingress-nginx"}}}


def services(stack: Stack) -> list[dict[str, Any]]:
    """A Service for each name by which others reach a service: its own, its aliases, those that share its network."""
    found = []
    for service in stack.services:
        if not names.leads(service) or service.is_one_shot:
            continue
        of = (service, *names.sidecars_of(stack, service))
        ports = sorted({port for item in of for port in item.ports})
        others = {other for aliases in service.networks.values() for other in aliases if names.is_dns_label(other)}
        others |= {item.name for item in of}
        for name in sorted(others):
            found.append(_service(stack, service, name, ports))
    return found + [_publication(stack, name) for name in sorted({item.service for item in stack.publications})]


def _publication(stack: Stack, name: str) -> dict[str, Any]:
    """Ports of a service that are published past the proxy, at a load balancer of their own."""
    published = [item for item in stack.publications if item.service == name]
    ports = [
        {
            "name": f"{item.protocol}-{item.host_port}",
            "port": item.host_port,
            "targetPort": item.container_port,
            "protocol": item.protocol.upper(),
        }
        for item in sorted(published, key=lambda item: (item.host_port, item.protocol))
    ]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": names.selector(stack, name)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-published", "labels": names.labels(stack, name)},
        "spec": {**spec, "ports": ports},
    }


def _service(stack: Stack, service: Service, name: str, ports: list[int]) -> dict[str, Any]:
    spec: dict[str, Any] = {"selector": names.selector(stack, service.name)}
    if ports:
        spec["ports"] = [{"name": f"port-{port}", "port": port, "targetPort": port} for port in ports]
    else:
        # Nothing says on which ports it listens: its name leads straight to its pods.
        spec["clusterIP"] = "None"
    metadata: dict[str, Any] = {"name": name, "labels": names.labels(stack, service.name)}
    options = ingress.service_annotations(stack, service.name) if name == service.name else {}
    if options:
        metadata["annotations"] = options
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def alias(stack: Stack, name: str, other: str, port: int) -> dict[str, Any]:
    """Another name for a service of the platform: what the app's own file calls it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": other, "labels": names.labels(stack, name)},
        "spec": {
            "selector": {names.LABEL_NAME: name},
            "ports": [{"name": f"port-{port}", "port": port, "targetPort": port}],
        },
    }


def policies(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """The NetworkPolicies of the namespace."""
    has_data = any(isinstance(item, BundledPostgres | BundledRedis) for item in (stack.postgres, stack.redis))
    used = {network for service in stack.services for network in service.networks}
    used |= {DATA_NETWORK} if has_data else set()
    found = [_closed(), _name_service(_without_network(stack))]
    for network in sorted(used):
        if network != EDGE_NETWORK:
            found.append(_among(stack, network, has_way_out=not _is_internal(stack, network)))
    found += [*_external_databases(stack), *_backup_policies(stack), *_created(stack, cluster)]
    found += [_published(stack, name) for name in sorted({item.service for item in stack.publications})]
    if cluster.ingress == "nginx":
        return [*found, *_from_proxy(stack, NGINX)]
    own = {"podSelector": {"matchLabels": names.selector(stack, "traefik")}}
    return [*found, _proxy(stack), *_from_proxy(stack, own)]


def _backup_policies(stack: Stack) -> list[dict[str, Any]]:
    """The conductor asks the cluster to start Jobs; what has to reach a bucket is in a network of its own, all alone."""
    if stack.backups is None:
        return []
    conductor = {"matchLabels": {names.LABEL_PHASE: "conductor", names.LABEL_INSTANCE: stack.project}}
    found = [_policy("backup-conductor", conductor, ["Egress"], egress=[_interface()])]
    if needs_network(stack):
        members = {
            "matchLabels": {f"{names.LABEL_NETWORK}{BACKUP_NETWORK}": "member", names.LABEL_INSTANCE: stack.project}
        }
        # A bucket or a database of one's own may have an address of the private ranges.
        found.append(_policy("backup-stores", members, ["Egress"], egress=[{}]))
    return found


def _interface() -> dict[str, Any]:
    """The cluster's own interface: it has an address outside of the cluster's pods, on one of these ports."""
    return {"ports": [{"port": port, "protocol": "TCP"} for port in INTERFACE_PORTS]}


def _created(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """Who starts pods asks the cluster for them, and talks to them in the namespaces that it made; so does the proxy."""
    namespaces = {"namespaceSelector": {"matchLabels": dict(cluster.created_labels)}}
    found = []
    for service in stack.services:
        if service.cluster_rights is None:
            continue
        pods = {"matchLabels": names.selector(stack, service.name)}
        rules: list[dict[str, Any]] = [_interface()]
        if cluster.created_labels and service.cluster_rights.cluster:
            rules.append({"to": [namespaces]})
        found.append(_policy(f"{service.name}-to-cluster", pods, ["Egress"], egress=rules))
    if cluster.created_labels and cluster.ingress == "traefik":
        proxy = {"matchLabels": names.selector(stack, "traefik")}
        found.append(_policy("proxy-to-created", proxy, ["Egress"], egress=[{"to": [namespaces]}]))
    return found


def _external_databases(stack: Stack) -> list[dict[str, Any]]:
    """A database that somebody else runs mostly has an address of the private ranges; only its port is known."""
    ports = sorted(
        {item.port for item in (stack.postgres, stack.redis) if isinstance(item, ExternalPostgres | ExternalRedis)}
    )
    if not ports:
        return []
    services = {
        "matchExpressions": [
            {"key": names.LABEL_NAME, "operator": "In", "values": sorted(service.name for service in stack.services)}
        ]
    }
    rule = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
    return [_policy("external-databases", services, ["Egress"], egress=[rule])]


def _published(stack: Stack, name: str) -> dict[str, Any]:
    """A port that is published past the proxy is open to anybody."""
    ports = sorted({(item.container_port, item.protocol) for item in stack.publications if item.service == name})
    rule = {"ports": [{"port": port, "protocol": protocol.upper()} for port, protocol in ports]}
    pods = {"matchLabels": names.selector(stack, name)}
    return _policy(f"published-{name}", pods, ["Ingress"], ingress=[rule])


def _is_internal(stack: Stack, network: str) -> bool:
    return network == DATA_NETWORK or (network != APP_NETWORK and stack.networks.get(network, False))


def _closed() -> dict[str, Any]:
    return _policy("closed", {}, ["Ingress", "Egress"])


def _without_network(stack: Stack) -> list[str]:
    """Phases of a backup that have no network on one server either: a question for a name is a way out, too."""
    if stack.backups is None:
        return []
    return [stack.backups.drill_service] if needs_network(stack) else sorted(stack.backups.services)


def _name_service(closed: list[str]) -> dict[str, Any]:
    ports = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    others = {"matchExpressions": [{"key": names.LABEL_PHASE, "operator": "NotIn", "values": closed}]}
    return _policy("name-service", others if closed else {}, ["Egress"], egress=[{"to": [system], "ports": ports}])


def _among(stack: Stack, network: str, *, has_way_out: bool) -> dict[str, Any]:
    members = {"matchLabels": {f"{names.LABEL_NETWORK}{network}": "member", names.LABEL_INSTANCE: stack.project}}
    egress: list[dict[str, Any]] = [{"to": [{"podSelector": members}]}]
    if has_way_out:
        egress.append(
            {
                "to": [
                    {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}},
                    {"ipBlock": {"cidr": "::/0", "except": PRIVATE_6}},
                ]
            }
        )
    return _policy(
        f"network-{network}",
        members,
        ["Ingress", "Egress"],
        ingress=[{"from": [{"podSelector": members}]}],
        egress=egress,
    )


def _proxy(stack: Stack) -> dict[str, Any]:
    """The edge: anybody reaches it, it reaches what has a route or answers a challenge, and asks the cluster for its routes."""
    proxy = {"matchLabels": names.selector(stack, "traefik")}
    routed = [
        {"podSelector": {"matchLabels": names.selector(stack, name)}}
        for name in sorted({route.service for route in stack.routes})
    ]
    if stack.edge.acme is not None and stack.edge.acme.challenge == "http":
        routed.append({"podSelector": SOLVERS})
    open_ports = [{"port": port, "protocol": "TCP"} for port in ("web", "websecure")]
    return _policy(
        "proxy", proxy, ["Ingress", "Egress"], ingress=[{"ports": open_ports}], egress=[{"to": routed}, _interface()]
    )


def _from_proxy(stack: Stack, proxy: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for service in sorted({route.service for route in stack.routes}):
        ports = sorted({route.port for route in stack.routes if route.service == service})
        rule = {"from": [proxy], "ports": [{"port": port, "protocol": "TCP"} for port in ports]}
        found.append(
            _policy(f"proxy-to-{service}", {"matchLabels": names.selector(stack, service)}, ["Ingress"], ingress=[rule])
        )
    return found


def _policy(name: str, pods: dict[str, Any], types: list[str], **rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": names.as_label(name), "labels": {names.LABEL_MANAGED: names.FIELD_MANAGER}},
        "spec": {"podSelector": pods, "policyTypes": types, **rules},
    }
