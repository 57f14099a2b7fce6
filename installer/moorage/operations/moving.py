"""What two environments of one deployment must share, so that one can serve the data of the other: the app's own secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moorage import flow
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError, MoorageError
from moorage.operations.rendering import compare
from moorage.words import listed


def differing_secrets(folder: Path, source: str, target: str) -> tuple[str, ...]:
    """The names of the app's secrets that are not the same in both, or that only one of them has."""
    there, here = SecretStore(folder, source), SecretStore(folder, target)
    return tuple(name for name in flow.app_secrets_of(folder, target) if _text(there, name) != _text(here, name))


def refuse_other_secrets(folder: Path, source: str, target: str) -> None:
    """Raise MoorageError where data of `source` may be unreadable in `target`, because a secret is another one there."""
    names = differing_secrets(folder, source, target)
    if not names:
        return
    keep = "`--keep-secrets` goes on with those that are here"
    if not SecretStore(folder, source).names():
        raise MoorageError(
            f"the backup is of {source}, whose secrets are not in this folder: what the app encrypted with "
            f"{listed(names, 'and')} may be unreadable in {target}; nothing was changed",
            f"`moorage secrets set {names[0]} -e {target}` with its value, for each; then `moorage up -e {target}`; {keep}",
        )
    raise MoorageError(
        f"{listed(names, 'and')} of {target} {'is' if len(names) == 1 else 'are'} not what {source} has: what the app "
        f"encrypted there can't be read here; nothing was changed",
        f"`moorage secrets copy --from {source} -e {target}`, `moorage up -e {target}`, then the same again; {keep}",
    )


def refuse_unapplied(folder: Path, environment: str) -> None:
    """Raise MoorageError where secrets were changed and what runs does not have them yet: it could not read its new data."""
    deployment = flow.open_deployment(folder, environment, may_lack_secrets=True)
    if compare(deployment, flow.render(deployment.stack)).private_difference:
        raise MoorageError(
            f"secrets of {environment} were changed since the last `moorage up`; nothing was changed",
            f"`moorage up -e {environment}`, then the same again",
        )


def copy_secrets(folder: Path, source: str, target: str, console: Console, confirm: Callable[[str], bool]) -> int:
    """Give `target` the app's secrets of `source`; gives the exit status. Those of databases, stores and the proxy stay."""
    if source == target:
        raise InputError(f"{source} is both where they come from and where they go", "`--from ENVIRONMENT -e OTHER`")
    there, here = SecretStore(folder, source), SecretStore(folder, target)
    names = [name for name in differing_secrets(folder, source, target) if there.read(name) is not None]
    if not names:
        console.success(
            f"{target} has the app's secrets of {source} already" if there.names() else f"{source} has no secrets"
        )
        return 0 if there.names() else 1
    replaced = [name for name in names if here.read(name) is not None]
    if replaced and not confirm(
        f"{listed(replaced, 'and')} of {target} {'is' if len(replaced) == 1 else 'are'} replaced; "
        f"what the app encrypted in {target} with the old value can't be read afterwards. Go on?"
    ):
        return 1
    for name in names:
        value = there.read(name)
        assert value is not None
        here.replace(name, value)
    console.success(f"{listed(names, 'and')} of {target} are those of {source}; `moorage up -e {target}` hands them on")
    return 0


def _text(store: SecretStore, name: str) -> str | None:
    value = store.read(name)
    return None if value is None else value.reveal()
