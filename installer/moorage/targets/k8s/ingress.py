"""Routes as Ingress objects, one per router, with the very paths, priorities and middlewares that one server's proxy has.

Traefik reads them in its own namespace only. Middlewares are not objects of the cluster but Traefik's own file, the same
as on a server (`@file`): nothing has to be installed in the cluster before, and no order of applying matters.
"""

from __future__ import annotations

import re
from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Route, Stack
from moorage.targets.k8s import names, nginx
from moorage.targets.routers import Router, routers_of, sticky_cookie

_OPTION = "traefik.ingress.kubernetes.io/router."
_SERVICE_OPTION = "traefik.ingress.kubernetes.io/service."
CERTIFICATE = "site-certificate"
# Kubernetes takes no path that begins otherwise than with a slash, an expression neither. This is a slash, no times.
_NO_SLASH = "/{0}"


def ingresses(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """One Ingress for each router and kind of path; for ingress-nginx also the headers that they name."""
    found = [
        _ingress(stack, cluster, router, kind)
        for route in stack.routes
        for router in routers_of(route)
        for kind in _kinds(router)
    ]
    return found + (nginx.header_maps(stack) if cluster.ingress == "nginx" else [])


def service_annotations(stack: Stack, service: str) -> dict[str, str]:
    """What Traefik has to know of a Service: whether a visitor stays at one pod; ingress-nginx reads it at the Ingress."""
    is_nginx = stack.cluster is not None and stack.cluster.ingress == "nginx"
    if is_nginx or not any(route.service == service and route.sticky for route in stack.routes):
        return {}
    cookie = sticky_cookie()
    return {
        f"{_SERVICE_OPTION}sticky.cookie": "true",
        f"{_SERVICE_OPTION}sticky.cookie.name": cookie["name"],
        f"{_SERVICE_OPTION}sticky.cookie.httponly": "true",
        f"{_SERVICE_OPTION}sticky.cookie.samesite": cookie["sameSite"],
    }


def _kinds(router: Router) -> list[str]:
    """How an Ingress matches is said once for all of its paths."""
    return sorted({match.kind for match in router.matches}) or ["prefix"]


def _ingress(stack: Stack, cluster: Cluster, router: Router, kind: str) -> dict[str, Any]:
    is_nginx = cluster.ingress == "nginx"
    paths = [match.path for match in router.matches if match.kind == kind] or ["/"]
    is_expression = is_nginx and nginx.takes_expressions(stack, router.route)
    if is_nginx:
        paths = [nginx.path(router, path, kind, is_expression=is_expression) for path in paths]
    if kind == "expression":
        paths = [f"{_NO_SLASH}{path}" for path in paths]
    backend = {"service": {"name": router.route.service, "port": {"number": router.route.port}}}
    path_type = "Exact" if kind == "exact" and not is_expression else "ImplementationSpecific"
    rules = [
        {
            "host": host,
            "http": {"paths": [{"path": path, "pathType": path_type, "backend": backend} for path in paths]},
        }
        for host in _hosts(router.route)
    ]
    spec: dict[str, Any] = {"rules": rules}
    if is_nginx:
        spec["ingressClassName"] = cluster.ingress_class
    if stack.edge.terminates_tls:
        spec["tls"] = [{"hosts": _hosts(router.route), "secretName": CERTIFICATE}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": _name(router, kind),
            "labels": names.labels(stack, router.route.service),
            "annotations": nginx.options(stack, cluster, router, kind)
            if is_nginx
            else _annotations(stack, cluster, router, kind),
        },
        "spec": spec,
    }


def _annotations(stack: Stack, cluster: Cluster, router: Router, kind: str) -> dict[str, str]:
    found = {
        # The old way to say it, because the new one asks the whole cluster for its classes.
        "kubernetes.io/ingress.class": cluster.ingress_class,
        f"{_OPTION}entrypoints": "websecure" if stack.edge.terminates_tls else "web",
        f"{_OPTION}priority": str(router.priority),
        f"{_OPTION}middlewares": ",".join(f"{name}@file" for name in router.middlewares),
    }
    if kind == "expression":
        found[f"{_OPTION}pathmatcher"] = "PathRegexp"
    if not router.is_logged:
        found[f"{_OPTION}observability.accesslogs"] = "false"
    return found


def _hosts(route: Route) -> list[str]:
    return [f"*.{route.wildcard_of}"] if route.wildcard_of else list(route.hosts)


def _name(router: Router, kind: str) -> str:
    """A name that DNS takes; routers of one route differ in what stands behind the sign."""
    suffix = "" if kind in ("prefix", "exact") else f"-{kind}"
    return re.sub(r"[^a-z0-9-]+", "-", router.name.lower()).strip("-") + suffix
