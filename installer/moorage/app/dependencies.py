"""Which service needs which: `depends_on`, `links` and shared networks, and whether that can ever start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.model import App, AppService, Dependency
from moorage.app.reader import Reader
from moorage.formats import KeyPath
from moorage.words import listed, nearest

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def read_depends_on(reader: Reader, value: Any, path: KeyPath) -> dict[str, Dependency]:
    """Other services by name, each with the condition that it must meet first."""
    if isinstance(value, list):
        return {name: Dependency() for name in reader.names(value, path)}
    found = {name: _dependency(reader, item, (*path, name)) for name, item in reader.mapping(value, path).items()}
    return {name: dependency for name, dependency in found.items() if dependency is not None}


def _dependency(reader: Reader, value: Any, path: KeyPath) -> Dependency | None:
    kept = reader.keys(value, path, subset.DEPENDENCY, f"service {path[1]}, depends_on")
    condition = reader.text(kept.get("condition"), (*path, "condition"), "service_started")
    if condition not in _CONDITIONS:
        reader.report((*path, "condition"), f"must be {listed(_CONDITIONS)}", value=condition)
        return None
    return Dependency(
        condition,  # type: ignore[arg-type]
        reader.boolean(kept.get("required"), (*path, "required"), True),
        reader.boolean(kept.get("restart"), (*path, "restart")),
    )


def read_links(reader: Reader, app: App, value: Any, path: KeyPath, services: Mapping[str, Any]) -> tuple[str, ...]:
    """The linked services; their other names become aliases of them."""
    names: list[str] = []
    for text, here in reader.names(value, path).items():
        service, separator, alias = text.partition(":")
        if service not in services:
            reader.report(here, *_unknown(service), suggestion=nearest(service, services))
            continue
        if separator and alias not in ("", service):
            app.link_aliases.setdefault(service, []).append(alias)
        names.append(service)
    return tuple(names)


def check_dependencies(app: App, reader: Reader) -> None:
    """Report services that are needed and do not exist, and services that wait for each other."""
    for service in app.services.values():
        for other, dependency in service.depends_on.items():
            if other not in app.services and dependency.required:
                place = (*service.path, "depends_on", other)
                reader.report(place, *_unknown(other), suggestion=nearest(other, app.services))
        kind, _, other = service.network_mode.partition(":")
        if kind == "service" and other not in app.services:
            place = (*service.path, "network_mode")
            reader.report(place, *_unknown(other), suggestion=nearest(other, app.services))
    _report_circles(app, reader)


def _unknown(name: str) -> tuple[str]:
    return (f"names the service `{name}`, which does not exist",)


def _report_circles(app: App, reader: Reader) -> None:
    from graphlib import CycleError, TopologicalSorter

    needs = {
        name: [other for other in _needs(service) if other in app.services] for name, service in app.services.items()
    }
    while True:
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            circle = _from_first(error.args[1], list(app.services))
            first, second = circle[:2]
            path = (*app.services[first].path, _needs(app.services[first])[second])
            rule = f"waits for itself, so that it can never start: {' → '.join(circle)}"
            reader.report(path, rule, hint="take one of these dependencies away")
            needs[first].remove(second)
        else:
            return


def _from_first(found: list[str], order: list[str]) -> list[str]:
    """A circle as a person reads it: from the service that stands first in the file, each followed by what it needs."""
    # Each name is needed by the one after it.
    circle = found[:0:-1]
    start = circle.index(min(circle, key=order.index))
    return [*circle[start:], *circle[: start + 1]]


def _needs(service: AppService) -> dict[str, str]:
    """The services that must be there first, and the key that says so."""
    needs = dict.fromkeys(service.depends_on, "depends_on")
    kind, _, other = service.network_mode.partition(":")
    if kind == "service":
        needs.setdefault(other, "network_mode")
    for name in service.aliases:
        needs.setdefault(name, "links")
    return needs
