"""What is wrong with `backups` as a whole: stores in each other's way, keys that a file can't hold, unknown databases."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath

from moorage.config.loading import LoadedConfig
from moorage.config.schema import Store
from moorage.errors import Problem
from moorage.formats import KeyPath
from moorage.sensitive import Sensitive
from moorage.stack.platform.backups import DEFAULT_FOLDER, access_key_name, secret_key_name
from moorage.stack.platform.postgres import PASSWORD
from moorage.words import nearest

_STORES: KeyPath = ("backups", "stores")
_OF_BUCKETS = ("prefix", "endpoint", "region", "credentials")
# What the system keeps there is not ours, and what Docker keeps there is copied or thrown away.
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr", "var/lib/docker")
_KEY = re.compile(r"[!-~]+")


def problems(loaded: LoadedConfig, secrets: Mapping[str, Sensitive], databases: Sequence[str]) -> Iterator[Problem]:
    """Everything but the places of directories."""
    config = loaded.config.backups
    yield from _names(loaded)
    for index, store in enumerate(config.stores):
        yield from _of_wrong_kind(loaded, store, index)
        yield from _keys(loaded, store, index, secrets)
    for (_, first), (index, second) in combinations(enumerate(config.stores), 2):
        yield from _same_place(loaded, first, second, index)
    yield from _assertions(loaded, databases)
    if config.on_failure and not config.on_failure[0].strip():
        yield loaded.problem(("backups", "on_failure", 0), "must be the name of a program")
    if loaded.config.postgres.mode == "external" and "\n" in _revealed(secrets, PASSWORD):
        yield loaded.problem(("secrets",), f"the secret {PASSWORD} has several lines, which a password file can't hold")


def _names(loaded: LoadedConfig) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, store in enumerate(loaded.config.backups.stores):
        if store.name in seen:
            yield loaded.problem((*_STORES, index, "name"), "is the name of another store too", value=store.name)
        seen.add(store.name)
    asked: set[str] = set()
    for index, item in enumerate(loaded.config.backups.assertions):
        if item.name in asked:
            path = ("backups", "assertions", index, "name")
            yield loaded.problem(path, "is the name of another assertion too", value=item.name)
        asked.add(item.name)


def _of_wrong_kind(loaded: LoadedConfig, store: Store, index: int) -> Iterator[Problem]:
    if store.directory:
        for key in _OF_BUCKETS:
            if key in store.model_fields_set:
                rule = "has no effect for a directory"
                yield loaded.problem((*_STORES, index, key), rule, hint="take it away, or name a `bucket`")
    elif store.credentials == "instance-role" and store.endpoint:
        yield loaded.problem(
            (*_STORES, index, "credentials"),
            "must be `keys` for an endpoint of your own: roles are known to AWS only",
            value=store.credentials,
        )


def _keys(loaded: LoadedConfig, store: Store, index: int, secrets: Mapping[str, Sensitive]) -> Iterator[Problem]:
    for name in (access_key_name(store.name), secret_key_name(store.name)) if store.bucket else ():
        value = _revealed(secrets, name)
        if value and not _KEY.fullmatch(value):
            rule = f"the secret {name} has spaces or signs that no key has"
            yield loaded.problem((*_STORES, index), rule, hint=f"`moorage secrets set {name}`")


def _revealed(secrets: Mapping[str, Sensitive], name: str) -> str:
    return secrets[name].reveal() if name in secrets else ""


def _same_place(loaded: LoadedConfig, first: Store, second: Store, index: int) -> Iterator[Problem]:
    """Two stores that are one protect from nothing, and the second one writes over the first."""
    if first.directory and second.directory:
        if _is_within(second.directory, first.directory) or _is_within(first.directory, second.directory):
            rule = f"is the directory of the store {first.name}, or one inside of the other"
            path = (*_STORES, index, "directory")
            yield loaded.problem(path, rule, value=second.directory, hint="each store needs a place of its own")
    elif first.bucket and _place(first) == _place(second):
        rule = f"is the bucket of the store {first.name}, with the same prefix"
        path = (*_STORES, index, "bucket")
        yield loaded.problem(path, rule, value=second.bucket, hint="set another `prefix` or bucket")


def _place(store: Store) -> tuple[str, str, str]:
    return store.endpoint or "", store.bucket or "", store.prefix


def _is_within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


def _assertions(loaded: LoadedConfig, databases: Sequence[str]) -> Iterator[Problem]:
    for index, item in enumerate(loaded.config.backups.assertions):
        path = ("backups", "assertions", index)
        if not databases:
            yield loaded.problem(path, "asks a database, but this app has none")
        elif item.database and item.database not in databases:
            yield loaded.problem(
                (*path, "database"),
                f"names the database `{item.database}`, which is not backed up",
                suggestion=nearest(item.database, databases),
                hint=f"databases: {', '.join(databases)}",
            )


def place_problems(loaded: LoadedConfig, folder: Path) -> Iterator[Problem]:
    """Directories of the system, of Docker, or of this deployment, where backups would be lost or in the way."""
    deployment = os.path.abspath(folder)  # noqa: PTH100 - links are left as the operator wrote them
    for index, store in enumerate(loaded.config.backups.stores):
        directory = store.directory
        if not directory:
            continue
        path = (*_STORES, index, "directory")
        if any(_is_within(directory, f"/{name}") for name in _SYSTEM):
            hint = "a folder on another disk, such as /mnt/backups"
            yield loaded.problem(path, "is a folder of the system or of Docker", value=directory, hint=hint)
        elif _is_within(deployment, directory):
            rule = "holds this deployment's own folder: each backup would hold all earlier ones"
            yield loaded.problem(path, rule, value=directory, hint=f"{directory}/backups, or another disk")
        elif _is_within(directory, deployment) and not _is_within(directory, f"{deployment}/{DEFAULT_FOLDER}"):
            rule = "is inside of this deployment's folder, which is backed up itself"
            yield loaded.problem(path, rule, value=directory, hint=f"{deployment}/{DEFAULT_FOLDER}, or another disk")
