"""Traefik in the cluster: it reads Ingresses of its own namespace, and middlewares from the file that a server has too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moorage.formats import dump_yaml
from moorage.parity.facts import SECRET
from moorage.parity.reasons import Allowed, Pair, adding, either, lacking, nothing_right, only_left
from moorage.stack.cluster import Cluster
from moorage.stack.model import Edge, Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.configuration import add_files, add_secret, digest
from moorage.targets.k8s.parts import Part, workload_patch
from moorage.targets.routers import middlewares
from moorage.targets.traefik_file import add_dashboard, literal, tls_options
from moorage.templating import render_template
from moorage.tree import Tree

NAME = "traefik"
_GENERATED = "Rendered by moorage; changes here are lost. Settings: moorage.yaml."


@dataclass(frozen=True)
class StaticView:
    """What templates/traefik/kubernetes.yaml.j2 sees."""

    namespace: str
    ingress_class: str
    https: bool
    https_port: int
    dashboard: bool
    trusted_proxies: tuple[str, ...]
    created_class: str


def part(stack: Stack, cluster: Cluster, public: Tree, private: Tree) -> Part:
    """The folder `traefik` of the platform."""
    edge = stack.edge
    static = render_template("traefik/kubernetes.yaml.j2", _view(stack, cluster))
    # The token for the DNS challenge is cert-manager's business here.
    secrets = {name: value for name, value in edge.secret_environment.items() if name == "DASHBOARD_USERS"}
    add_secret(private, names.secret_name(NAME), secrets)
    revealed = {name: value.reveal() for name, value in sorted(secrets.items())}
    return Part(
        NAME,
        edge.image.reference,
        generators=[
            add_files(public, names.BASE, "traefik-static", {"traefik.yaml": static.encode()}),
            add_files(
                public,
                names.BASE,
                "traefik-dynamic",
                {"middlewares.yaml": dump_yaml(_dynamic(stack), _GENERATED).encode()},
            ),
        ],
        patches=[
            workload_patch("Deployment", NAME, edge.limits, secrets_digest=digest(stack, [revealed])),
            _service_patch(edge, cluster),
        ],
    )


def _view(stack: Stack, cluster: Cluster) -> StaticView:
    edge = stack.edge
    return StaticView(
        namespace=cluster.namespace,
        ingress_class=cluster.ingress_class,
        https=edge.terminates_tls,
        https_port=edge.https_port,
        dashboard=bool(edge.dashboard_host),
        trusted_proxies=edge.trusted_proxies,
        created_class=cluster.created_class,
    )


def _dynamic(stack: Stack) -> dict[str, Any]:
    edge = stack.edge
    http: dict[str, Any] = {"middlewares": literal(middlewares(edge, stack.routes))}
    add_dashboard(edge, http)
    found: dict[str, Any] = {"http": {kind: dict(sorted(items.items())) for kind, items in http.items()}}
    options = tls_options(edge)
    return {**found, "tls": {"options": options}} if options else found


def _service_patch(edge: Edge, cluster: Cluster) -> dict[str, Any]:
    """The ports that visitors use, and who may come at all."""
    ports = [{"name": "web", "port": edge.http_port, "targetPort": "web"}]
    if edge.terminates_tls:
        ports.append({"name": "websecure", "port": edge.https_port, "targetPort": "websecure"})
    spec: dict[str, Any] = {"ports": [{"$patch": "replace"}, *ports]}
    if cluster.source_ranges:
        spec["loadBalancerSourceRanges"] = list(cluster.source_ranges)
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


_ADDED = {
    "command": "--configFile=/etc/traefik/traefik.yaml",
    "file./etc/traefik-dynamic/middlewares.yaml": "settings read-only",
    "health.live.failures": "6",
    "health.live.interval": "10s",
    "health.live.question": "GET :8082/ping",
    "health.live.timeout": "5s",
    "health.request": "GET :8082/ping",
    "mount./etc/traefik": "files only",
    "mount./etc/traefik-dynamic": "files only",
    "mount./tmp": "memory 16Mi",
    "port.8000/tcp": "open",
    "port.8082/tcp": "open",
    "port.8443/tcp": "open",
    "static.providers.kubernetesIngress.disableClusterScopeResources": "yes",
    "static.providers.kubernetesIngress.namespaces": "${NAMESPACE}",
}
_LACKING = {
    "health.command": "traefik healthcheck",
    "mount./acme": "volume edge-acme",
    "mount./etc/traefik/dynamic": "volume edge-routes read-only",
    "setting.init": "no",
    "waits for.proxy's routes": "completed_successfully",
    "waits for.Docker's proxy": "healthy",
    "environment.CF_DNS_API_TOKEN": SECRET,
}
_BY_DOCKER = {
    "static.entryPoints.inside.*": "address :80, asDefault yes, http.aliasHeadersStrategy delete, default inside websecure",
    "static.entryPoints.websecure.http.tls.domains.*": "0.main ${DOMAIN}, 0.sans *.${DOMAIN}",
    "static.providers.docker.*": "endpoint tcp://socket-proxy:2375, exposedByDefault no, network ${PROJECT}_edge",
}
_OTHERWISE = {
    "capabilities": ("DAC_OVERRIDE NET_BIND_SERVICE", "none"),
    "user": ("", "65532:65532"),
    "rollout": ("recreate", "rolling"),
    "pull": ("always", "missing"),
    "start limit": ("120s", "60s"),
    "static.entryPoints.web.address": (":8080", ":80"),
    "static.entryPoints.ping.address": ("127.0.0.1:8082", ":8082"),
    "static.entryPoints.web.http.redirections.entryPoint.to": ("websecure", ":443"),
    "static.entryPoints.websecure.http.tls": ("", "{}"),
    "static.entryPoints.websecure.http.tls.certResolver": ("letsencrypt", ""),
    "static.providers.file.directory": ("/etc/traefik/dynamic", "/etc/traefik-dynamic"),
}
_NAMED = {
    "static.providers.kubernetesIngress.ingressClass": "moorage-${NAMESPACE}",
    "static.providers.kubernetesIngress.ingressEndpoint.publishedService": "${NAMESPACE}/traefik",
    "static.providers.kubernetesIngressNGINX.controllerClass": "moorage/moorage-${NAMESPACE}-created",
    "static.providers.kubernetesIngressNGINX.ingressClass": "moorage-${NAMESPACE}-created",
    "option.kubernetes.io/ingress.class": "moorage-${NAMESPACE}",
}
_BY_APP = {
    "static.providers.kubernetesIngressNGINX.httpEntryPoint": "web",
    "static.providers.kubernetesIngressNGINX.httpsEntryPoint": "websecure",
    "static.providers.kubernetesIngressNGINX.proxyBodySize": "0",
}
_BROUGHT = ("mount./tls/tls.crt", "mount./tls/tls.key")


def _is_of_docker(pair: Pair) -> bool:
    """Whether it is all that finds containers by Docker, and the entry by which the app asks for them."""
    found = pair.left_facts.values.get(pair.key, "").replace(
        f" {pair.left_facts.own.get('PROJECT', '')}_", " ${PROJECT}_"
    )
    return not pair.right and _BY_DOCKER.get(pair.key.field) in (found, pair.left)


def _is_of_created(pair: Pair) -> bool:
    """Whether it is how the proxy finds what the app starts itself: by Docker here, by Ingresses there."""
    return not (pair.left and pair.right) and _BY_APP.get(pair.key.field) == (pair.left or pair.right)


def _is_brought(pair: Pair) -> bool:
    """Whether a certificate that is brought is a file of the server here and a Secret there."""
    return (
        pair.key.field in _BROUGHT
        and pair.left.startswith("host ")
        and pair.left.endswith(" read-only")
        and not pair.right
    )


def _is_named(pair: Pair) -> bool:
    found = pair.right_facts.wholly_neutral(pair.right_facts.values.get(pair.key, ""))
    return not pair.left and _NAMED.get(pair.key.field) == found


_ROUTES = "Routes are Ingresses in a cluster: no file has to be published to the proxy."

DIFFERENCES = (
    Allowed(
        "proxy",
        "*",
        "In a cluster the proxy reads Ingresses, is asked by the kubelet, opens no port below 1024 and is not root.",
        lambda pair: (
            adding(_ADDED)(pair)
            or lacking(_LACKING)(pair)
            or either(_OTHERWISE)(pair)
            or _is_named(pair)
            or _is_of_created(pair)
            or _is_of_docker(pair)
            or _is_brought(pair)
        ),
    ),
    Allowed(
        "proxy",
        "*",
        "In a cluster the proxy reads Ingresses, is asked by the kubelet, opens no port below 1024 and is not root.",
        lacking(_LACKING),
        needed=("health.command", "mount./acme", "mount./etc/traefik/dynamic", "waits for.proxy's routes"),
    ),
    Allowed("proxy", "network.*", "The proxy's network is a policy of its own in a cluster.", only_left("member")),
    Allowed("route *", "option.kubernetes.io/ingress.class", "Says whose Ingress it is.", _is_named),
    Allowed("route *", "balancer.passHostHeader", "Traefik's default, which Ingresses have too.", only_left("yes")),
    Allowed(
        "Docker's proxy",
        "*",
        "In a cluster the app asks the cluster, by rights of its own.",
        lambda pair: (
            not pair.right
            and (pair.key.field, pair.left) != ("image", "none")
            and (pair.key.field != "reached by" or pair.left == "proxy")
        ),
        needed=("reached by",),
    ),
    Allowed(
        "container of Docker's proxy",
        "*",
        "In a cluster the app asks the cluster, by rights of its own.",
        nothing_right,
    ),
    Allowed("proxy's routes", "*", _ROUTES, nothing_right),
    Allowed("container of proxy's routes", "*", _ROUTES, nothing_right),
    Allowed("volume edge-*", "*", _ROUTES, lacking({"exists": "yes", "labels.moorage.deployment": "a digest"})),
)
