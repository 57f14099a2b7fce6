"""The other environments that `init` writes beside the first: the same app in a cluster, and on a single server."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.formats import dump_scalar


@dataclass(frozen=True)
class Tier:
    """One entry of `environments`: its settings as lines of YAML, and what it is in a few words."""

    name: str
    lines: tuple[str, ...]
    comment: str


def tiers(*, name: str, domain: str, target: str, tls: str) -> tuple[Tier, ...]:
    """All that are not the default one, which is called like its target."""
    found = (
        Tier("compose", (), "one server, as above"),
        Tier(
            "minikube",
            # Its load balancer is reached by `minikube tunnel`, at an address that no authority signs for.
            (f"domain: {{name: {dump_scalar(f'{name}.localhost')}}}", "tls: {mode: 'off', challenge: http}"),
            "a cluster on your own machine",
        ),
        Tier(
            "eks-beta",
            ("target: eks", f"domain: {{name: {dump_scalar(f'beta.{domain}')}}}", *_certificate(tls)),
            "a cluster at AWS, to try things out",
        ),
        Tier("eks-production", ("target: eks", *_certificate(tls)), "a cluster at AWS"),
    )
    return tuple(tier for tier in found if tier.name != target)


def _certificate(tls: str) -> tuple[str, ...]:
    """With Let's Encrypt a cluster orders a wildcard, by DNS: the name may lead to the old server still."""
    return ("tls: {challenge: cloudflare-dns}",) if tls == "letsencrypt" else ()
