"""The components that moorage.yaml switches on: their files as they are, their settings filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.app.component_extension import KubernetesComponent
from moorage.app.model import App, AppComponent
from moorage.app.reader import Reader
from moorage.formats import KeyPath, is_file
from moorage.sensitive import Text
from moorage.words import nearest

PATH = ("x-moorage", "kubernetes_components")
# Where the components of an app are, beside its Compose file.
FOLDER = "k8s"


def read_components(
    reader: Reader, app: App, chosen: Mapping[str, Path], values: Mapping[str, Text]
) -> dict[str, AppComponent]:
    """Those of the app's components that are among `chosen`, which has the folder of each."""
    found = {}
    for name, declared in app.extension.kubernetes_components.items():
        if name in chosen:
            path = (*PATH, name)
            _check_names(reader, app, path, declared)
            found[name] = AppComponent(
                name=name,
                extension=declared,
                files=_files(reader, path, chosen[name]),
                settings=reader.interpolate(dict(declared.settings), (*path, "settings"), values, frozenset()),
                environment={
                    service: reader.interpolate(dict(item), (*path, "environment", service), values, frozenset())
                    for service, item in declared.environment.items()
                },
            )
    return found


def _files(reader: Reader, path: KeyPath, folder: Path) -> dict[str, bytes]:
    """Every file by its path in the folder."""
    if not is_file(folder / "kustomization.yaml"):
        rule = f"has no folder {FOLDER}/{path[-1]} with a kustomization.yaml in it"
        reader.report(path, rule, hint="put its manifests there, beside the Compose file", of_key=True)
        return {}
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def _check_names(reader: Reader, app: App, path: KeyPath, declared: KubernetesComponent) -> None:
    """Services that the component names must be there, and an image of it must be one that is built for it."""
    for image, service in declared.images.items():
        where = (*path, "images", image)
        if not _is_there(reader, app, where, service):
            continue
        if not app.services[service].extension.build_only:
            reader.report(where, f"names `{service}`, which runs as a service", hint="write `build_only: true` there")
    for service in declared.environment:
        _is_there(reader, app, (*path, "environment", service), service, of_key=True)
    for key, flows in (("reached_by", declared.reached_by), ("reaches", declared.reaches)):
        for workload, services in flows.items():
            if workload in app.services:
                reader.report((*path, key, workload), "has the name of a service of this file", of_key=True)
            for service in services:
                _is_there(reader, app, (*path, key, workload, service), service, of_key=True)


def _is_there(reader: Reader, app: App, path: KeyPath, service: str, **more: Any) -> bool:
    if service in app.services:
        return True
    near = nearest(service, app.services)
    reader.report(path, f"names the service `{service}`, which does not exist", suggestion=near, **more)
    return False
