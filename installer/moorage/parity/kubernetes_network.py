"""Who reaches whom in a cluster: by NetworkPolicies and labels, under the names of Services, from outside by load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moorage.formats import parse_yaml
from moorage.parity import ingress_nginx, proxy
from moorage.parity.facts import Facts
from moorage.parity.kubernetes_objects import Objects, Pod, plain_name
from moorage.parity.policies import EVERY, Policies, ports_text

SUBJECT = "network"
_NETWORK = "moorage/network."
_INSTANCE = "app.kubernetes.io/instance"
# A pod that nobody rendered: what it reaches is what a namespace leaves open.
_STRANGER = Pod("any other pod", {}, {"metadata": {"labels": {}}})

# The pods of an ingress-nginx, in a namespace of its own.
_NGINX = Pod("proxy", {}, {"metadata": {"labels": {"app.kubernetes.io/name": "ingress-nginx"}}})
# A pod that answers an authority's question, as cert-manager makes it.
_SOLVER = Pod("challenge", {}, {"metadata": {"labels": {"acme.cert-manager.io/http01-solver": "true"}}})


def note(facts: Facts, objects: Objects) -> None:
    """The graph, edge by edge, with one pod more that nobody knows."""
    namespace = next(iter(objects.of("Namespace")), {}).get("metadata") or {}
    labels = {**(namespace.get("labels") or {}), "kubernetes.io/metadata.name": str(namespace.get("name", ""))}
    policies = Policies(tuple(objects.of("NetworkPolicy")), labels)
    pods = (*objects.pods, _STRANGER)
    for pod in pods:
        for subject in pod.subjects:
            for other in pods:
                opened = EVERY if other is pod else policies.between(pod, other)
                for target in other.subjects:
                    if target != subject:
                        facts.note(SUBJECT, f"{subject} → {target}", ports_text(opened))
            facts.note(SUBJECT, f"{subject} → outside", policies.to_outside(pod))
            facts.note(SUBJECT, f"{subject} → names", policies.to_names(pod))
    for network in sorted({name for pod in objects.pods for name in pod.labels if name.startswith(_NETWORK)}):
        # A pod that is in this network and in no other.
        own = {network: "member", _INSTANCE: str((namespace.get("labels") or {}).get(_INSTANCE, ""))}
        alone = Pod("", {}, {"metadata": {"labels": own}})
        facts.note(f"network {network.removeprefix(_NETWORK)}", "way out", bool(policies.to_outside(alone)))
    _proxied(facts, objects, policies)
    entries = _entries(objects)
    for service in objects.of("Service"):
        _service(facts, objects, policies, service, entries)


def _proxied(facts: Facts, objects: Objects, policies: Policies) -> None:
    """What an ingress-nginx reaches, and whether the proxy reaches who answers for a certificate."""
    is_nginx = any(ingress_nginx.is_for_nginx(item) for item in objects.of("Ingress"))
    solvers = [_SOLVER] if any("http01" in solver for solver in _solvers(objects)) else []
    if is_nginx:
        for pod in (*objects.pods, *solvers):
            for subject in pod.subjects:
                facts.note(SUBJECT, f"proxy → {subject}", ports_text(policies.from_afar(pod, _NGINX)))
        return
    for pod in objects.pods:
        for solver in solvers if pod.subject == "proxy" else ():
            facts.note(SUBJECT, f"proxy → {solver.subject}", ports_text(policies.between(pod, solver)))


def _solvers(objects: Objects) -> Iterator[Mapping[str, Any]]:
    for issuer in objects.of("Issuer"):
        yield from ((issuer.get("spec") or {}).get("acme") or {}).get("solvers") or []


def behind(objects: Objects, service: Mapping[str, Any]) -> list[Pod]:
    """The pods that a Service leads to: jobs are none of those, whatever their labels."""
    selector = (service.get("spec") or {}).get("selector") or {}
    return [
        pod for pod in objects.pods if selector and all(pod.labels.get(key) == text for key, text in selector.items())
    ]


def target_of(objects: Objects, name: str, number: object) -> str:
    """Where a port of a Service leads, as `service web:8000`."""
    for service in objects.of("Service"):
        if service["metadata"]["name"] != name:
            continue
        pods = behind(objects, service)
        for port in (service.get("spec") or {}).get("ports") or []:
            if number in (port.get("port"), port.get("name")) and pods:
                return f"{pods[0].subject}:{pods[0].port(port.get('targetPort', port.get('port')))}"
        return f"{name}:{number}, where nobody listens"
    return f"{name}:{number}, which does not exist"


def _entries(objects: Objects) -> dict[str, str]:
    """The proxy's entry points by the address where they listen in its pod."""
    for item in objects.of("ConfigMap"):
        if plain_name(item["metadata"]["name"]) == "traefik-static":
            return proxy.entries(
                parse_yaml((item.get("data") or {}).get("traefik.yaml", ""), "traefik.yaml").value or {}
            )
    return {}


def _service(
    facts: Facts, objects: Objects, policies: Policies, service: Mapping[str, Any], entries: Mapping[str, str]
) -> None:
    name, spec = service["metadata"]["name"], service.get("spec") or {}
    pods = behind(objects, service)
    if not pods:
        facts.note(SUBJECT, f"name {name}", "leads to no pod")
    for pod in pods:
        if not name.endswith("-published"):
            facts.note(_known_as(pod, name), f"name.{name}", "yes")
        for port in spec.get("ports") or []:
            _port(facts, policies, pod, spec, port, entries)


def _known_as(pod: Pod, name: str) -> str:
    """The container that a name means: one that shares the pod's network has its own."""
    return f"service {name}" if any(item.get("name") == name for item in pod.containers[1:]) else pod.subject


def _port(
    facts: Facts,
    policies: Policies,
    pod: Pod,
    spec: Mapping[str, Any],
    port: Mapping[str, Any],
    entries: Mapping[str, str],
) -> None:
    number, target = port.get("port"), pod.port(port.get("targetPort", port.get("port")))
    protocol = str(port.get("protocol", "TCP"))
    if spec.get("type", "ClusterIP") == "ClusterIP":
        shown = "" if number == target else f" → {target}"
        facts.note(pod.subject, f"port.{number}/{protocol.lower()} of Services", f"open{shown}")
        return
    reached = policies.from_anywhere(pod)
    to = entries.get(f":{target}", target) if pod.subject == "proxy" else target
    field = f"outside {number}/{protocol.lower()} → {pod.subject}"
    facts.note(
        SUBJECT, field, f"open → {to}" if reached >= EVERY or (target, protocol) in reached else "closed by policies"
    )
    if spec.get("loadBalancerSourceRanges"):
        facts.note(SUBJECT, f"{field} from", spec["loadBalancerSourceRanges"])
