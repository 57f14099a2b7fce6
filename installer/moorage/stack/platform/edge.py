"""The edge: Traefik, its certificate mode, its dashboard, and who may ask Docker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from moorage.config.loading import LoadedConfig
from moorage.config.secrets import SecretNeed
from moorage.errors import Problem
from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive
from moorage.stack.model import Acme, Edge, Host, Image, Limits, LogLimits

LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETSENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
CLOUDFLARE_TOKEN = "CF_DNS_API_TOKEN"  # noqa: S105 - the name of a secret, not a secret
DASHBOARD_PASSWORD = "DASHBOARD_PASSWORD"  # noqa: S105 - likewise
DASHBOARD_USERS = "DASHBOARD_USERS"
MEMORY = 256 * MEBIBYTE
MEMORY_REQUEST = 64 * MEBIBYTE
SERVICES = ("traefik", "edge-routes", "socket-proxy")
VOLUMES = ("edge-routes", "edge-acme")
SOCKET_PROXY_IMAGE = "haproxy:3.0"


def needs(loaded: LoadedConfig) -> list[SecretNeed]:
    """The DNS token for the wildcard challenge, the dashboard's password."""
    result = []
    tls = loaded.config.tls
    if tls.mode == "letsencrypt" and tls.challenge == "cloudflare-dns":
        result.append(SecretNeed(CLOUDFLARE_TOKEN, "Cloudflare API token with Zone:DNS:Edit and Zone:Zone:Read"))
    if loaded.config.edge.dashboard.enabled:
        result.append(SecretNeed(DASHBOARD_PASSWORD, "password of `admin` on Traefik's dashboard", "password"))
        result.append(SecretNeed(DASHBOARD_USERS, "its bcrypt hash", "bcrypt", source=DASHBOARD_PASSWORD))
    return result


def problems(loaded: LoadedConfig, *, wildcard: bool, creates_containers: bool) -> Iterator[Problem]:
    """What is wrong with `tls` and `edge` as a whole."""
    tls = loaded.config.tls
    if tls.mode == "letsencrypt" and not tls.email:
        yield loaded.problem(
            ("tls", "email"), "is required for letsencrypt: the authority writes there before it stops renewing"
        )
    if tls.mode == "letsencrypt" and loaded.config.domain.name.endswith("localhost"):
        yield loaded.problem(
            ("domain",),
            "cannot get a public certificate",
            value=loaded.config.domain.name,
            hint="set `tls.mode: internal-ca` or `off`",
        )
    if tls.mode == "files":
        for key in ("certificate", "key"):
            if not getattr(tls, key):
                yield loaded.problem(("tls", key), "is required when tls.mode is files")
    elif tls.certificate or tls.key:
        yield loaded.problem(
            ("tls", "certificate" if tls.certificate else "key"),
            f"has no effect while tls.mode is {tls.mode}",
            hint="set `mode: files`",
        )
    if wildcard and tls.mode == "letsencrypt" and tls.challenge == "http" and not creates_containers:
        yield loaded.problem(
            ("tls", "challenge"),
            "`http` gives no wildcard certificate",
            hint="set `challenge: cloudflare-dns`, or leave `domain.wildcard` false",
        )
    if tls.trusted_proxies and tls.mode != "behind-proxy":
        yield loaded.problem(
            ("tls", "trusted_proxies"), f"has no effect while tls.mode is {tls.mode}", hint="set `mode: behind-proxy`"
        )
    if tls.mode == "behind-proxy" and not tls.trusted_proxies:
        yield loaded.problem(
            ("tls", "trusted_proxies"), "is required for behind-proxy: whose X-Forwarded headers may be believed"
        )
    if tls.staging and tls.acme_server:
        yield loaded.problem(("tls", "staging"), "has no effect with your own acme_server")
    edge = loaded.config.edge
    if edge.http_port == edge.https_port:
        yield loaded.problem(("edge", "https_port"), "must differ from http_port", value=edge.https_port)
    if edge.dashboard.enabled and tls.mode == "off":
        yield loaded.problem(("edge", "dashboard", "enabled"), "needs HTTPS: its password would travel in the clear")


def dashboard_host(loaded: LoadedConfig) -> str:
    """Where Traefik's dashboard answers; empty when it is off."""
    dashboard = loaded.config.edge.dashboard
    return (dashboard.host or f"traefik.{loaded.config.domain.name}") if dashboard.enabled else ""


def build(
    loaded: LoadedConfig,
    host: Host,
    secrets: Mapping[str, Sensitive],
    logs: LogLimits,
    *,
    socket_proxy: bool,
    certificate_digest: str,
    container_name: str,
) -> Edge:
    """The finished edge; `certificate_digest` changes when a certificate file was renewed."""
    config, tls = loaded.config, loaded.config.tls
    own_authority = f"secrets/{loaded.environment}/tls"
    environment = {name: secrets[name] for name in (CLOUDFLARE_TOKEN, DASHBOARD_USERS) if name in secrets}
    cpu = min(1000, host.cpus * 1000)
    return Edge(
        image=Image(f"traefik:{config.edge.version}"),
        tls_mode=tls.mode,
        acme=_acme(loaded),
        certificate_file=f"{own_authority}/server.crt" if tls.mode == "internal-ca" else tls.certificate or "",
        key_file=f"{own_authority}/server.key" if tls.mode == "internal-ca" else tls.key or "",
        certificate_digest=certificate_digest,
        address=config.edge.address,
        http_port=config.edge.http_port,
        https_port=config.edge.https_port,
        hsts_seconds=tls.hsts_days * 86400,
        trusted_proxies=tls.trusted_proxies,
        dashboard_host=dashboard_host(loaded),
        socket_proxy_image=Image(SOCKET_PROXY_IMAGE) if socket_proxy else None,
        secret_environment=environment,
        limits=Limits(MEMORY, MEMORY_REQUEST, cpu, min(cpu, 100)),
        logs=logs,
        container_name=container_name,
    )


def _acme(loaded: LoadedConfig) -> Acme | None:
    tls = loaded.config.tls
    if tls.mode != "letsencrypt":
        return None
    server = tls.acme_server or (LETSENCRYPT_STAGING if tls.staging else LETSENCRYPT)
    # One file per authority: a staging certificate must never be taken for a real one after the switch.
    storage = f"acme-{hashlib.sha256(server.encode()).hexdigest()[:8]}.json"
    return Acme(tls.email or "", server, tls.challenge, tls.acme_ca_file or "", storage)
