"""The app's Compose file → App: the supported subset, every problem at its line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.app import subset
from moorage.app.components import read_components
from moorage.app.dependencies import check_dependencies
from moorage.app.environment import tell_of_written_secrets
from moorage.app.extension import AppExtension, VolumeExtension
from moorage.app.model import App, AppNetwork, AppVolume
from moorage.app.reader import Reader
from moorage.app.services import ServiceReader
from moorage.app.variables import PROFILES
from moorage.config import rules
from moorage.errors import Problem
from moorage.formats import Document, KeyPath, is_file
from moorage.sensitive import Text
from moorage.words import nearest

_OUR_SERVICES = ("traefik", "edge-routes", "socket-proxy")
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def find_compose_file(path: Path) -> Path | None:
    """The Compose file itself, or the one in a folder by its usual names."""
    return next((file for file in (path, *(path / name for name in _FILE_NAMES)) if is_file(file)), None)


def read_extension(document: Document, folder: Path) -> tuple[AppExtension, Reader]:
    """The top-level `x-moorage` block, which must be known before any variable can be filled in."""
    reader = Reader(document, folder)
    content = reader.mapping(document.value, ())
    extension = reader.model(AppExtension, content.get("x-moorage"), ("x-moorage",))
    return extension, reader


def read_app(
    name: str,
    document: Document,
    folder: Path,
    values: Mapping[str, Text],
    secrets: frozenset[str] = frozenset(),
    *,
    allowed_host_paths: tuple[str, ...] = (),
    allowed_privileges: tuple[str, ...] = (),
    adoptable: frozenset[str] = frozenset(),
    components: Mapping[str, Path] | None = None,
) -> App:
    """The app with its variables filled in from `values`.

    Names in `secrets` make env file values secret; the two allowances are the operator's permissions;
    `adoptable` are the kinds of database images that moorage may run in their place; `components` are the folders of
    the parts for clusters that are switched on.
    What is wrong and what was adapted is in the result's `problems` and `notices`.
    """
    extension, reader = read_extension(document, folder)
    raw = {key: value for key, value in reader.mapping(document.value, ()).items() if not key.startswith("x-")}
    filled = reader.interpolate(raw, (), values, frozenset())
    told = list(reader.problems)
    content = reader.keys(filled, (), subset.TOP, "compose file")
    app = App(
        name,
        folder,
        document,
        extension,
        allowed_host_paths=allowed_host_paths,
        allowed_privileges=allowed_privileges,
        adoptable=adoptable,
    )
    _read_networks(content.get("networks"), app, reader)
    _read_volumes(content.get("volumes"), app, reader)
    services = ServiceReader(reader, app, content, values, secrets)
    for service_name, value in reader.mapping(content.get("services"), ("services",)).items():
        path = ("services", service_name)
        _check_service_name(service_name, path, reader)
        service = services.read(service_name, value, path)
        app.services[service_name] = service
    if not app.services and not content.get("services"):
        reader.report(("services",) if "services" in content else (), "has no services")
    app.components = read_components(reader, app, components or {}, values)
    _check_references(app, reader)
    _tell_of_profiles(app, reader)
    tell_of_written_secrets(reader, app, raw.get("services"))
    app.problems = _without_consequences(reader.problems, told, reader.unfilled)
    app.unfilled = reader.unfilled
    app.notices = reader.notices
    return app


def _tell_of_profiles(app: App, reader: Reader) -> None:
    """Which services are left out, and how they are chosen."""
    used = {job.service for job in app.extension.jobs.values()}
    for service in app.services.values():
        if service.profiles and service.name not in used:
            text = (
                f"left out, because no {PROFILES} names its profile; `env: {{{PROFILES}: …}}` in moorage.yaml chooses"
            )
            reader.notice(f"service {service.name}", text)


def _without_consequences(problems: list[Problem], told: list[Problem], unfilled: set[str]) -> list[Problem]:
    """A text whose variable has no value is read as an empty one: what is wrong with that is nobody's mistake."""
    return [problem for problem in problems if problem in told or problem.key not in unfilled]


def _check_service_name(name: str, path: tuple[str, ...], reader: Reader) -> None:
    try:
        rules.service_name(name)
    except ValueError as error:
        reader.report(path, f"a service name {error}", of_key=True)
    if name in _OUR_SERVICES:
        reader.report(
            path,
            "is the name of a service that moorage brings itself",
            hint="remove it: routes, certificates and the redirect to HTTPS come with moorage",
            of_key=True,
        )


def _read_networks(value: Any, app: App, reader: Reader) -> None:
    for name, settings in reader.mapping(value, ("networks",)).items():
        path = ("networks", name)
        kept = reader.keys(settings, path, subset.NETWORK, f"network {name}")
        driver = reader.text(kept.get("driver"), (*path, "driver"), "bridge")
        if driver not in ("bridge", "default"):
            reader.report((*path, "driver"), "only `bridge` exists on one server", value=driver)
        app.networks[name] = AppNetwork(name, reader.boolean(kept.get("internal"), (*path, "internal")))


def _read_volumes(value: Any, app: App, reader: Reader) -> None:
    for name, settings in reader.mapping(value, ("volumes",)).items():
        path = ("volumes", name)
        kept = reader.keys(settings, path, subset.VOLUME, f"volume {name}")
        driver = reader.text(kept.get("driver"), (*path, "driver"), "local")
        if driver != "local":
            reader.report((*path, "driver"), "only `local` volumes exist on one server", value=driver)
        fixed_name, external = _read_volume_name(name, kept, path, reader)
        _check_volume_name(name, fixed_name, path, reader)
        app.volumes[name] = AppVolume(
            name,
            fixed_name,
            external,
            {
                key: reader.text(item, (*path, "labels"))
                for key, item in reader.pairs(kept.get("labels"), (*path, "labels")).items()
            },
            reader.model(VolumeExtension, kept.get("x-moorage"), (*path, "x-moorage")),
        )


def _read_volume_name(name: str, kept: Mapping[str, Any], path: KeyPath, reader: Reader) -> tuple[str, bool]:
    """What Docker calls the volume (empty: as the deployment has it), and whether somebody else made it."""
    external = kept.get("external")
    written = reader.text(kept.get("name"), (*path, "name"))
    if isinstance(external, dict):
        # The form of Compose's version 2: `external: {name: …}`.
        inner = reader.keys(external, (*path, "external"), subset.EXTERNAL_VOLUME, f"volume {name}")
        old = reader.text(inner.get("name"), (*path, "external", "name"))
        if old and written and old != written:
            reader.report((*path, "external", "name"), f"names another volume than `name: {written}`", value=old)
        return old or written or name, True
    is_external = reader.boolean(external, (*path, "external"))
    return written or (name if is_external else ""), is_external


def _check_volume_name(name: str, fixed_name: str, path: KeyPath, reader: Reader) -> None:
    for written, where in ((name, path), (fixed_name, (*path, "name"))):
        if written and not _VOLUME_NAME.fullmatch(written):
            rule = "a volume name must consist of letters, digits, dots, dashes and underscores"
            reader.report(where, rule, value=written, of_key=where == path)
            break


def _check_references(app: App, reader: Reader) -> None:
    """Names that one part of the file uses of another."""
    check_dependencies(app, reader)
    for name, job in app.extension.jobs.items():
        if job.service not in app.services:
            reader.report(
                ("x-moorage", "jobs", name, "service"),
                f"names the service `{job.service}`, which does not exist",
                value=job.service,
                suggestion=nearest(job.service, app.services),
            )
