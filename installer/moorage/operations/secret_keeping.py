"""`moorage secrets …`: values enter by standard input and leave by standard output, never by an argument."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from moorage import flow
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError, MoorageError
from moorage.sensitive import Sensitive
from moorage.words import nearest

_IN_ENV_FILE = "set in an env file"


def rows(folder: Path, environment: str) -> list[tuple[str, str, str]]:
    """Name, state and purpose of every secret that is used or kept."""
    store = SecretStore(folder, environment)
    present = set(store.names())
    result = []
    needs = flow.secret_needs_of(folder, environment)
    for need in needs:
        state = "set" if need.name in present else "made at the next `up`" if need.generator else "missing"
        if state == "missing" and need.optional:
            state = "not set (optional)"
        result.append((need.name, state, need.why))
    if any(state == "missing" for _, state, _ in result):
        given = flow.secrets_in_env_files(folder, environment)
        result = [(name, _IN_ENV_FILE if name in given else state, why) for name, state, why in result]
    named = {need.name for need in needs}
    result.extend((name, "set, not used", "") for name in sorted(present - named))
    return result


def set_value(folder: Path, environment: str, console: Console, name: str) -> None:
    """Read a value and keep it under a name that the app knows."""
    known = [need.name for need in flow.secret_needs_of(folder, environment)]
    if name not in known:
        meant = nearest(name, known)
        raise InputError(
            f"{name} is not a secret of this app" + (f"; did you mean {meant}?" if meant else ""),
            f"known: {', '.join(known) or 'none'}; further ones are listed under `secrets` in moorage.yaml",
        )
    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    if not value:
        raise InputError(f"no value was given for {name}")
    if "\0" in value:
        raise InputError(f"the value of {name} contains a NUL character")
    SecretStore(folder, environment).replace(name, Sensitive(value))
    console.success(f"{name} is set; `moorage up` hands it to the containers")


def show(folder: Path, environment: str, console: Console, name: str) -> None:
    """Print one value."""
    store = SecretStore(folder, environment)
    value = store.read(name)
    if value is None:
        meant = nearest(name, store.names())
        raise MoorageError(
            f"there is no secret {name}" + (f"; did you mean {meant}?" if meant else ""), "`moorage secrets list`"
        )
    console.line(value.reveal())


RECOVERY_TEXT = """\
Recovery key of this deployment. Backups are encrypted with it: without it they can't be read by anybody.
Print it or copy it to a password manager. Keep it apart from this server: when the server is lost, this
key and the backup store are all that is needed.
"""


def show_recovery_key(folder: Path, console: Console) -> None:
    """Print the recovery key with its text."""
    if not (folder / "secrets" / "recovery.key").is_file():
        raise MoorageError("there is no recovery key yet", "`moorage init` or `moorage up` makes it")
    key = SecretStore(folder, "").recovery_key(write=False)
    if console.as_json:
        console.data({"recovery_key": key.reveal()})
        return
    console.detail(RECOVERY_TEXT)
    console.line(key.reveal())
