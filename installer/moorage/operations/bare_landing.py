"""As what a backup comes up on a bare machine: in the environment that it was made in, or as a server in the place of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage import flow
from moorage.config.secrets import FOLDER as SECRETS
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError
from moorage.operations.moving import differing_secrets
from moorage.recovery_key import parse_recovery_key
from moorage.sensitive import Sensitive
from moorage.words import listed


@dataclass(frozen=True)
class Landing:
    """The environment that is brought up, and what its containers and volumes are named after."""

    environment: str
    project: str


def landing(fetched: Path, record: dict[str, Any], wanted: str) -> Landing:
    """Where a backup comes up, by the moorage.yaml that came with it. Raises InputError when that is no server."""
    origin = str(record["environment"])
    chosen = flow.chosen_environment(fetched, wanted or origin)
    if flow.is_for_cluster(fetched, chosen):
        servers = flow.environments_for_servers(fetched)
        raise InputError(
            f"the backup is of {origin}, and {chosen} is for a cluster; `restore --bare` brings up a server",
            f"`-e {servers[0]}` brings its data up as {listed(servers, 'or')}; into a cluster: "
            f"`moorage up -e {chosen}`, then `moorage backup restore -e {chosen}`"
            if servers
            else f"into a cluster: `moorage up -e {chosen}`, then `moorage backup restore -e {chosen}`",
        )
    return Landing(chosen, flow.project_of(fetched, chosen))


def _give_to_owner(folder: Path) -> None:
    """Modes of files, which a cluster does not keep: a script can be run, secrets are their owner's alone."""
    for path in sorted(folder.rglob("*")):
        is_secret = path.relative_to(folder).parts[0] == SECRETS
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700 if is_secret else 0o755)
        elif path.is_file() and not path.is_symlink():
            is_program = not is_secret and path.read_bytes()[:2] == b"#!"
            path.chmod(0o600 if is_secret else 0o755 if is_program else 0o644)


def carry_secrets(fetched: Path, origin: str, target: str, key: Sensitive, console: Console) -> None:
    """Give the folder what its data need: the recovery key, which a cluster's backup has not, and the app's secrets.

    Where both environments have one, that of the data counts.
    """
    if flow.is_for_cluster(fetched, origin):
        _give_to_owner(fetched)
    SecretStore(fetched, target).keep_recovery_key(parse_recovery_key(key.reveal()))
    if origin == target:
        return
    there, here = SecretStore(fetched, origin), SecretStore(fetched, target)
    carried = []
    for name in differing_secrets(fetched, origin, target):
        value = there.read(name)
        if value is not None:
            here.replace(name, value)
            carried.append(name)
    # A bucket's keys and the like: only where this environment has none of its own.
    for name in there.names():
        value = there.read(name)
        if here.read(name) is None and value is not None:
            here.replace(name, value)
    if carried:
        console.detail(f"{listed(carried, 'and')} of {target} are those of {origin}, which its data were written with")
