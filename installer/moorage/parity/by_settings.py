"""Differences that moorage.yaml asks for: which of its keys changes what. Told with the key, no failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from moorage.parity.facts import Facts
from moorage.parity.reasons import Condition, Pair
from moorage.parity.words import size

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


def _differs(pair: Pair, setting: str) -> bool:
    return pair.left_facts.settings.get(setting) != pair.right_facts.settings.get(setting)


def _is_the_same_app(pair: Pair) -> bool:
    """Whether two images differ in nothing but what `images` changes: where they come from, and which version they are."""
    (place, name, tag), (other_place, other_name, other_tag) = _parts(pair.left), _parts(pair.right)
    return (
        name == other_name != ""
        and (place == other_place or _differs(pair, "images.registry"))
        and (tag == other_tag or _differs(pair, "images.tag"))
    )


def _parts(image: str) -> tuple[str, str, str]:
    """Registry and path, name, tag or digest of an image."""
    place, _, last = image.rpartition("/")
    name, mark, tag = last.partition("@" if "@" in last else ":")
    return place, name, mark + tag


def _says_when_to_pull(pair: Pair) -> bool:
    words = {"always", "missing", "never", "Always", "IfNotPresent", "Never"}
    return {pair.left, pair.right} <= words


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
    Effect("tls", "object Certificate *", "*", _one_has_it),
    Effect("tls.challenge", "object Certificate *", "spec.dnsNames*", _other_certificates),
    Effect("tls", "object Issuer *", "*", _one_has_it),
    Effect("tls.challenge", "object Issuer *", "spec.acme.solvers.*", _other_certificates),
    Effect("tls.email", "object Issuer *", "spec.acme.email", _other_certificates),
    Effect("tls.staging", "object Issuer *", "spec.acme.server", _other_certificates),
    Effect("tls.staging", "object Issuer *", "spec.acme.privateKeySecretRef.name", _other_certificates),
    Effect("tls.ca_server", "object Issuer *", "spec.acme.server", _other_certificates),
    Effect("tls", "object NetworkPolicy proxy-to-challenge", "*", _one_has_it),
    Effect("tls", "object Service traefik", "spec.ports.websecure*", _one_has_https),
    Effect("kubernetes.team", "object Role team-*", "*", _one_has_it),
    Effect("kubernetes.team", "object RoleBinding team-*", "*", _one_has_it),
    Effect("kubernetes.team", "object RoleBinding team-*", "subjects.*"),
    Effect("kubernetes.volumes", "object ResourceQuota *", "spec.hard.*"),
    Effect("kubernetes.components", "component *", "*", _one_has_it),
    Effect("kubernetes.load_balancer.source_ranges", "network", "outside *"),
    Effect("kubernetes.load_balancer.source_ranges", "object Service traefik", "spec.loadBalancerSourceRanges*"),
    Effect("kubernetes.storage_class", "object StorageClass *", "*", _one_has_it),
    Effect("kubernetes.storage_class", "object *", "spec.*storageClassName"),
    Effect("kubernetes.snapshot_class", "object VolumeSnapshotClass *", "*", _one_has_it),
    Effect("env", "component *", "ConfigMap *.data.*"),
    Effect("env", "*", "environment.*"),
    Effect("env", "*", "file.*"),
    *(
        Effect(f"images.{key}", subject, field, _is_the_same_app)
        for key in ("registry", "tag", "source")
        for subject, field in (
            ("*", "image"),
            ("pod of *", "initContainers.*.image"),
            ("*", "environment.*"),
            ("component *", "*.image"),
        )
    ),
    *(
        Effect(f"images.{key}", subject, field, _says_when_to_pull)
        for key in ("registry", "source", "pull")
        for subject, field in (("*", "pull"), ("pod of *", "initContainers.*.imagePullPolicy"))
    ),
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
    for facts, other in ((pair.left_facts, pair.right_facts), (pair.right_facts, pair.left_facts)):
        for key in facts.settings:
            if facts.settings[key] == other.settings.get(key):
                continue
            for effect in (*_EFFECTS, *_of_service(key), *_of_cluster(key)):
                if _is_below(key, effect.key) and _fits(effect, pair):
                    return f"by moorage.yaml: environments.{facts.environment}.{_shown(key, effect)}", effect.capability
    return None


def _of_cluster(key: str) -> Iterator[Effect]:
    """`kubernetes.load_balancer.annotations.…` and `kubernetes.roles.NAME` name what they change."""
    annotation = key.removeprefix("kubernetes.load_balancer.annotations.")
    name = key.rpartition(".")[2]
    if annotation != key:
        yield Effect(key, "object Service traefik", f"annotations.{annotation}", _is_what(key))
    elif key == "kubernetes.load_balancer.external_dns":
        yield Effect(key, "object Service traefik", "annotations.external-dns.alpha.kubernetes.io/*")
    elif key.startswith("kubernetes.volumes."):
        yield Effect(key, f"volume {name}", "size", _is_what(key))
        # Those of backups have room for what all others hold.
        yield Effect(key, "volume backup-*", "size")
    elif key.startswith("kubernetes.roles."):
        account = f"ServiceAccount {'backup' if name == 'backups' else name}"
        yield Effect(key, f"object {account}", "annotations.eks.amazonaws.com/role-arn", _is_what(key))
        yield Effect(key, f"component {name}", "ServiceAccount *.metadata.annotations.*", _is_what(key))


def _is_what(key: str) -> Condition:
    """Whether each side has the very value that its moorage.yaml says, where it says one."""

    def condition(pair: Pair) -> bool:
        sides = ((pair.left, pair.left_facts.settings.get(key)), (pair.right, pair.right_facts.settings.get(key)))
        return all(said is None or value in (said, size(said)) for value, said in sides)

    return condition


def _of_service(key: str) -> Iterator[Effect]:
    """`resources.services.NAME.…` and `images.overrides.NAME` name what they change."""
    parts = key.split(".")
    if key.startswith("images.overrides."):
        name = key.removeprefix("images.overrides.")
        yield Effect(key, f"service {name}", "image")
        yield Effect(key, "job *", "image")
    if parts[:2] == ["resources", "services"] and len(parts) > 3:
        if parts[3] in ("replicas", "max_replicas"):
            yield Effect(key, f"service {parts[2]}", "replicas*")
            yield Effect(key, f"object HorizontalPodAutoscaler {parts[2]}", "*", _one_has_it)
            yield Effect(key, f"object HorizontalPodAutoscaler {parts[2]}", "spec.*Replicas")
            yield Effect(key, f"object PodDisruptionBudget {parts[2]}", "*", _one_has_it)
            yield Effect(key, f"pod of service {parts[2]}", "topologySpreadConstraints*")
        else:
            for field in ("limit.*", "request.*"):
                yield Effect(key, f"service {parts[2]}", field)
                yield Effect(key, "job *", field)
        yield Effect(key, "object ResourceQuota *", "spec.hard.*")


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
