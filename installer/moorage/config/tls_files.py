"""The certificate files that a configuration names or makes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from moorage.config import authority
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.formats import is_file


def certificate_files(loaded: LoadedConfig, folder: Path) -> tuple[Path, ...]:
    """The certificate and key that Traefik mounts, if it does."""
    tls = loaded.config.tls
    if tls.mode == "internal-ca":
        files = authority.AuthorityFiles(_own_folder(loaded, folder))
        return files.certificate, files.key
    named = tuple(folder / name for name in (tls.certificate, tls.key) if name) if tls.mode == "files" else ()
    return tuple(file for file in named if is_file(file))


def certificate_problems(loaded: LoadedConfig, folder: Path) -> Iterator[Problem]:
    """Files that `tls` names and that are not there."""
    tls = loaded.config.tls
    named = {"certificate": tls.certificate, "key": tls.key} if tls.mode == "files" else {}
    if tls.mode == "letsencrypt":
        named["acme_ca_file"] = tls.acme_ca_file
    for key, name in named.items():
        if name and not is_file(folder / name):
            hint = "the path starts at the folder of moorage.yaml"
            yield loaded.problem(("tls", key), "the file does not exist", value=name, hint=hint)


def certificate_digest(loaded: LoadedConfig, folder: Path) -> str:
    """What changes when the certificate does."""
    return authority.digest(*certificate_files(loaded, folder))


def ensure_certificate(loaded: LoadedConfig, folder: Path, now: datetime) -> tuple[bool, tuple[str, ...]]:
    """Make or renew the certificate of a deployment with its own authority: whether it changed, what to tell."""
    if loaded.config.tls.mode != "internal-ca":
        return False, ()
    before = certificate_digest(loaded, folder)
    domain = loaded.config.domain.name
    told = authority.ensure(_own_folder(loaded, folder), domain, (domain, f"*.{domain}"), now)
    return certificate_digest(loaded, folder) != before, told


def _own_folder(loaded: LoadedConfig, folder: Path) -> Path:
    return folder / "secrets" / loaded.environment / "tls"
