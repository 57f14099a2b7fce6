"""The app's role and databases, made inside the server's pod through its socket."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

from moorage.errors import DeployError, MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.streams import run_in_pod
from moorage.targets.k8s.facts import ClusterFacts

NAME = "postgres"
_SCRIPT = "/etc/postgresql/ensure.sql"
_SECRET = "postgres-password"  # noqa: S105 - the name of an object
_KEY = "postgres_password"


def ensure(cluster: Cluster, facts: ClusterFacts, private: Path) -> None:
    """Make what is missing. The password goes by standard input. Raises DeployError."""
    if not facts.postgres_superuser:
        return
    password = _password(private)
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    script = f"\\set password '{quoted}'\n\\i {_SCRIPT}\n\\q\n"
    command = ["psql", "--quiet", "--no-psqlrc", "-U", facts.postgres_superuser, "-d", "postgres", "-f", "-"]
    try:
        ended = run_in_pod(cluster, facts.namespace, f"{NAME}-0", NAME, command, script)
    except MoorageError as error:
        raise DeployError(f"the app's role and databases could not be made: {error.message}", error.hint) from None
    if ended.status != 0:
        said = ended.errors.strip().splitlines() or ended.output.strip().splitlines() or ["no reason given"]
        raise DeployError(
            # A statement that fails may be quoted.
            f"the app's role and databases could not be made: {said[-1].replace(password, '…')}",
            f"`{shlex.join(['kubectl', '--context', facts.context, '-n', facts.namespace, 'logs', f'{NAME}-0'])}`",
        )


def _password(private: Path) -> str:
    try:
        data = json.loads((private / f"{_SECRET}.json").read_text(encoding="utf-8"))["data"]
        return base64.b64decode(data[_KEY]).decode()
    except (OSError, ValueError, KeyError):
        raise DeployError(f"{private / f'{_SECRET}.json'} can't be read", "`moorage render` writes it anew") from None
