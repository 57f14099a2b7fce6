"""The contexts of a kubeconfig: which cluster is meant, and never the one that happens to be current."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moorage.errors import MoorageError
from moorage.words import listed, nearest

_PRODUCTION = re.compile(r"(?:^|[^a-z0-9])(?:prod|production|live)(?:[^a-z]|$)")


@dataclass(frozen=True)
class KubeContext:
    """One context: its cluster and server, and the program that logs in, if there is one."""

    name: str
    cluster: str
    server: str
    namespace: str
    plugin: str
    plugin_hint: str

    @property
    def host(self) -> str:
        """The server's host name."""
        return urlsplit(self.server).hostname or ""

    @property
    def looks_like_production(self) -> bool:
        """Whether its name, its cluster's or its server's has production as a word."""
        return any(says_production(text) for text in (self.name, self.cluster, self.host))


def says_production(text: str) -> bool:
    """Whether `prod`, `production` or `live` stands in it as a word."""
    return bool(_PRODUCTION.search(text.lower()))


def kubeconfig_path(written: str) -> str:
    """The files that count: the configured one, else $KUBECONFIG (several, joined by colons), else the home folder's."""
    return written or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def chosen_context(name: str, kubeconfig: str, environment: str) -> KubeContext:
    """The context of that name. Raises MoorageError when none is meant, or when it isn't there."""
    path = kubeconfig_path(kubeconfig)
    known = read_contexts(path)
    if not name:
        raise MoorageError(
            f"environment {environment} does not say which cluster it is for: no context is configured",
            _choose(known, environment),
        )
    for item in known:
        if item.name == name:
            return item
    near = nearest(name, [item.name for item in known])
    where = path if known or Path(path).exists() else f"{path}, which does not exist"
    raise MoorageError(
        f"the context {name} is not in {where}" + (f"; did you mean {near}?" if near else ""),
        _choose(known, environment),
    )


def _choose(known: tuple[KubeContext, ...], environment: str) -> str:
    there = f"; there are {listed([item.name for item in known], 'and')}" if known else ""
    return f"set `environments.{environment}.kubernetes.context` in moorage.yaml, or `--context NAME`{there}"


def read_contexts(path: str) -> tuple[KubeContext, ...]:
    """Every context of these files, none where there are no files. Raises MoorageError for one that can't be read."""
    from kubernetes.config.kube_config import KubeConfigMerger

    if not any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part):
        return ()
    try:
        merged = KubeConfigMerger(path).config  # type: ignore[no-untyped-call]
        kinds = ("contexts", "clusters", "users")
        content = {kind: [node.value for node in merged.value[kind]] for kind in kinds} if merged is not None else {}
        return tuple(_context(entry, content) for entry in content.get("contexts", ()))
    except MoorageError:
        raise
    except Exception as error:  # the library passes on whatever its YAML reader and its own look-ups raise
        raise MoorageError(
            f"{path} is not a kubeconfig that can be read: {type(error).__name__}", "`kubectl config view` reads it too"
        ) from None


def _context(entry: dict[str, Any], content: dict[str, Any]) -> KubeContext:
    inner = entry.get("context") or {}
    cluster = _named(content, "clusters", inner.get("cluster", "")).get("cluster") or {}
    user = _named(content, "users", inner.get("user", "")).get("user") or {}
    plugin = user.get("exec") or {}
    return KubeContext(
        str(entry.get("name", "")),
        str(inner.get("cluster", "")),
        str(cluster.get("server", "")),
        str(inner.get("namespace", "")),
        str(plugin.get("command", "")),
        " ".join(str(plugin.get("installHint", "")).split()),
    )


def _named(content: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    return next((item for item in content.get(kind) or () if item.get("name") == name), {})


def refuse_missing_plugin(context: KubeContext, path: str) -> None:
    """Raise MoorageError when the program that logs in is not installed."""
    if not context.plugin:
        return
    beside = Path(path.split(os.pathsep)[0]).expanduser().parent / context.plugin
    if shutil.which(context.plugin) or ("/" in context.plugin and beside.is_file()):
        return
    raise MoorageError(
        f"the context {context.name} logs in by the program `{context.plugin}`, which is not installed",
        context.plugin_hint or f"install `{context.plugin}`, or log in to the cluster in another way",
    )
