"""What tests start from: a deployment folder with two files, a source of random bytes that repeats itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from moorage import flow
from moorage.app.compose_file import read_app
from moorage.app.model import App, AppService
from moorage.errors import InputError, Problem
from moorage.formats import parse_yaml
from moorage.sensitive import Text
from moorage.targets.base import Rendering

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)

SETTINGS = """\
name: acme
app: ./compose.yaml
domain: notes.example.com
tls: {mode: "off"}
"""

WEB = """\
services:
  web:
    image: nginx:1.27
    x-moorage: {port: 80, route: {paths: [/]}}
"""


def repeatable_bytes(seed: str = "") -> Callable[[int], bytes]:
    """A random source that gives the same bytes in every test run."""
    counter = 0

    def source(count: int) -> bytes:
        nonlocal counter
        found = b""
        while len(found) < count:
            found += hashlib.sha256(f"{seed}{counter}".encode()).digest()
            counter += 1
        return found[:count]

    return source


def folder_with(folder: Path, files: Mapping[str, str | bytes | None]) -> Path:
    """Write files; None makes an empty folder."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def as_text(content: str | Mapping[str, Any]) -> str:
    """YAML text of plain data, as another program would write it."""
    return content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)


def deployment(
    folder: Path,
    compose: str | Mapping[str, Any] = WEB,
    settings: str = "",
    *,
    secrets: Mapping[str, str] | None = None,
    files: Mapping[str, str | bytes | None] | None = None,
    environment: str = "",
    write_secrets: bool = True,
    base: str = SETTINGS,
) -> flow.Deployment:
    """Open a deployment of a Compose file; `secrets` are set beforehand and must be named in `settings`."""
    kept = {f"secrets/compose/values/{name}": f"{value}\n" for name, value in (secrets or {}).items()}
    folder_with(folder, {"compose.yaml": as_text(compose), "moorage.yaml": base + settings, **kept, **(files or {})})
    return flow.open_deployment(
        folder, environment, write_secrets=write_secrets, random_bytes=repeatable_bytes(), now=NOW
    )


def rendering(folder: Path, compose: str | Mapping[str, Any] = WEB, settings: str = "", **more: Any) -> Rendering:
    """The rendered files of a deployment."""
    return flow.render(deployment(folder, compose, settings, **more).stack)


def compose_of(rendered: Rendering) -> dict[str, Any]:
    """The rendered compose.yaml as data."""
    content: dict[str, Any] = yaml.safe_load(rendered.public.files["compose/compose.yaml"].content)
    return content


def problems(action: Callable[[], object]) -> tuple[Problem, ...]:
    """The problems that an action is refused for; fails when it is not refused."""
    try:
        action()
    except InputError as error:
        return error.problems
    raise AssertionError("was not refused")


def app(
    folder: Path,
    compose: str | Mapping[str, Any],
    values: Mapping[str, Text] | None = None,
    *,
    files: Mapping[str, str | bytes | None] | None = None,
    secrets: frozenset[str] = frozenset(),
    **more: Any,
) -> App:
    """A Compose file read on its own, beside `files`."""
    folder_with(folder, files or {})
    return read_app("app", parse_yaml(as_text(compose), "compose.yaml"), folder, values or {}, secrets, **more)


def service(folder: Path, keys: str | Mapping[str, Any], **more: Any) -> tuple[AppService, App]:
    """The service `web` with the given keys (YAML text or data), and the app around it."""
    content = parse_yaml(keys, "keys").value if isinstance(keys, str) else dict(keys)
    content.setdefault("image", "nginx:1.27")
    top = more.pop("top", {})
    found = app(folder, {**top, "services": {"web": content, **more.pop("others", {})}}, **more)
    return found.services["web"], found


def rules_of(found: App) -> list[str]:
    """The problems of an app as `key: rule`."""
    return [f"{problem.key}: {problem.rule}" for problem in found.problems]
