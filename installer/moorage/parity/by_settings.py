"""Differences that moorage.yaml asks for: which of its keys changes what. Told with the key, no failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from moorage.parity.facts import Facts
from moorage.parity.reasons import Condition, Pair

_SIZES = (
    "limit.*",
    "request.*",
    "parameter.*",
    "log",
    "size",
    "spec.hard.*",
    "replicas*",
    "mount./dev/shm",
    "plan.parallel",
)


def _one_has_https(pair: Pair) -> bool:
    """Whether visitors come by HTTPS to one of them only."""
    return _has_https(pair.left_facts) != _has_https(pair.right_facts)


def _other_certificates(pair: Pair) -> bool:
    """Whether both have HTTPS, with certificates of another origin."""
    return _has_https(pair.left_facts) and _has_https(pair.right_facts)


def _says_whether_https(pair: Pair) -> bool:
    """Whether a value differs as HTTP and HTTPS do: yes and no, or the scheme of an address."""
    if not _one_has_https(pair):
        return False
    here, there = (pair.left, pair.right) if _has_https(pair.left_facts) else (pair.right, pair.left)
    plain = [re.sub(r"\b(http|ws)s://", r"\1://", text) for text in (pair.left, pair.right)]
    return (here.lower(), there.lower()) == ("true", "false") or plain[0] == plain[1]


def _only_its_headers(pair: Pair) -> bool:
    """Whether a route has one middleware more, for headers of its own that are sent with HTTPS only."""
    more = set(pair.left.split()) ^ set(pair.right.split())
    return _one_has_https(pair) and len(more) == 1 and more.pop().endswith(":headers")


def _other_challenge(pair: Pair) -> bool:
    return _other_certificates(pair) and {pair.left, pair.right} == {"http", "dns cloudflare"}


def _is_answered_in_one(pair: Pair) -> bool:
    """Whether an authority asks one of them only by HTTP."""
    asked = [facts.get("tls", "letsencrypt asks by") for facts in (pair.left_facts, pair.right_facts)]
    return not (pair.left and pair.right) and asked.count("http") == 1


def _is_the_other_entry(pair: Pair) -> bool:
    return _one_has_https(pair) and {pair.left, pair.right} == {"web", "websecure"}


def _has_https(facts: Facts) -> bool:
    return any(key.field == "certificate" for key in facts.values)


def _one_has_it(pair: Pair) -> bool:
    """Whether one of both has nothing at all of the subject."""
    sides = (pair.left_facts, pair.right_facts)
    return any(all(key.subject != pair.key.subject for key in facts.values) for facts in sides)


def _always(pair: Pair) -> bool:  # noqa: ARG001 - a condition
    return True


@dataclass(frozen=True)
class Effect:
    """What a key of moorage.yaml changes, as patterns of subject and field."""

    key: str
    subject: str
    field: str
    when: Condition = _always
    capability: bool = False
    # Keys below that one which change less, and have reasons of their own.
    but: tuple[str, ...] = ()


_EFFECTS = (
    Effect("tls", "capability", "TLS", _one_has_https, capability=True),
    Effect("tls", "tls", "*", _one_has_https),
    Effect("tls.challenge", "tls", "letsencrypt asks by", _other_challenge),
    Effect("tls.challenge", "tls", "letsencrypt.dnsChallenge.*", _other_certificates),
    Effect("tls.email", "tls", "letsencrypt for", _other_certificates),
    Effect("tls.staging", "tls", "letsencrypt at", _other_certificates),
    Effect("tls.staging", "tls", "letsencrypt.storage", _other_certificates),
    Effect("tls.ca_server", "tls", "letsencrypt at", _other_certificates),
    Effect("tls", "middleware moorage::security-headers", "headers.stsSeconds", _one_has_https),
    Effect("tls", "middleware moorage::security-headers", "headers.forceSTSHeader", _one_has_https),
    Effect("tls", "proxy", "static.entryPoints.web.http.redirections.*", _one_has_https),
    Effect("tls", "proxy", "static.entryPoints.websecure.*", _one_has_https),
    Effect("tls", "proxy", "static.providers.kubernetesIngressNGINX.httpsEntryPoint", _one_has_https),
    Effect("tls.mode", "route *", "certificate"),
    Effect("tls", "route *", "entry points", _is_the_other_entry),
    Effect("tls", "network", "outside 443/tcp → proxy", _one_has_https),
    Effect("tls", "network", "proxy → challenge", _is_answered_in_one),
    Effect("tls", "object NetworkPolicy proxy", "spec.egress.*/http01-solver", _is_answered_in_one),
    Effect("tls", "route *", "middlewares", _only_its_headers),
    Effect("tls", "middleware *:headers", "headers.customResponseHeaders.*", _one_has_https),
    Effect("tls", "*", "environment.*", _says_whether_https),
    Effect("tls", "backup*", "file./deployment/secrets/*/CF_DNS_API_TOKEN"),
    Effect("tls", "proxy", "environment.CF_DNS_API_TOKEN"),
    Effect("tls", "object Certificate *", "*"),
    Effect("tls", "object Issuer *", "*"),
    Effect("tls", "object NetworkPolicy proxy-to-challenge", "*"),
    Effect("tls", "object Service traefik", "spec.ports.websecure*", _one_has_https),
    Effect("kubernetes.team", "object Role team-*", "*"),
    Effect("kubernetes.team", "object RoleBinding team-*", "*"),
    Effect("kubernetes", "volume *", "size", but=("kubernetes.ingress", "kubernetes.ingress_class")),
    Effect("kubernetes.components", "component *", "*", _one_has_it),
    Effect("kubernetes.roles", "component *", "ServiceAccount *.metadata.annotations.*"),
    Effect("kubernetes.load_balancer", "network", "outside *"),
    Effect("kubernetes", "object *", "*", but=("kubernetes.ingress", "kubernetes.ingress_class")),
    Effect("env", "component *", "ConfigMap *.data.*"),
    Effect("env", "*", "environment.*"),
    Effect("env", "*", "file.*"),
    Effect("images", "*", "image"),
    Effect("images", "*", "pull"),
    Effect("images", "pod of *", "initContainers.*.image"),
    Effect("images", "pod of *", "initContainers.*.imagePullPolicy"),
    Effect("images", "*", "environment.*"),
    Effect("images", "component *", "*.image"),
    Effect("backups", "backup*", "*"),
    Effect("logs", "*", "log"),
    Effect("redis", "queue", "*"),
    Effect("postgres", "database", "*"),
    Effect("edge", "proxy", "static.*"),
    Effect("edge.dashboard", "router moorage::dashboard", "*"),
    Effect("edge.dashboard", "middleware moorage::dashboard-password", "*"),
    Effect("edge.dashboard", "proxy", "environment.DASHBOARD_USERS"),
    Effect("edge", "network", "outside *"),
    *(Effect("resources.host", "*", field) for field in _SIZES),
)


def explanation(pair: Pair) -> tuple[str, bool] | None:
    """The key of moorage.yaml that asks for a difference, and whether one of both lacks something by that; None for none."""
    for facts in (pair.left_facts, pair.right_facts):
        for key in facts.settings:
            for effect in (*_EFFECTS, *_of_service(key)):
                if _is_below(key, effect.key) and key not in effect.but and _fits(effect, pair):
                    return f"by moorage.yaml: environments.{facts.environment}.{_shown(key, effect)}", effect.capability
    return None


def _of_service(key: str) -> Iterator[Effect]:
    """`resources.services.NAME.…` and `permit` name what they change."""
    parts = key.split(".")
    if parts[:2] == ["resources", "services"] and len(parts) > 3:
        for field in ("limit.*", "request.*", "replicas*"):
            yield Effect(key, f"service {parts[2]}", field)
            yield Effect(key, "job *", field)
        yield Effect(key, "object ResourceQuota *", "spec.hard.*")
        yield Effect(key, f"object * {parts[2]}", "*")
        yield Effect(key, f"pod of service {parts[2]}", "topologySpreadConstraints*")


def _is_below(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def _fits(effect: Effect, pair: Pair) -> bool:
    return (
        fnmatchcase(pair.key.subject, effect.subject)
        and fnmatchcase(pair.key.field, effect.field)
        and effect.when(pair)
    )


def _shown(key: str, effect: Effect) -> str:
    return effect.key if "." in effect.key or effect.key in ("env",) else key if effect.key != "tls" else "tls"
