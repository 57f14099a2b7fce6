"""The services of a rendered Compose folder as Compose itself sees them: fragments merged, variables filled in.

Reads what our renderer writes, without Docker; a test holds it against `docker compose config`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from moorage.app.interpolation import parse_template, substitute
from moorage.parity.rendered import Rendered
from moorage.sensitive import reveal

FOLDER = "compose"
_FILE = f"{FOLDER}/compose.yaml"
# Lists that take the place of what a fragment says; all others are added to it.
_REPLACED = ("command", "entrypoint")
# Lists of the short form that stand for a mapping.
_MAPPINGS = ("networks", "depends_on", "environment", "labels")


def services(rendered: Rendered) -> dict[str, dict[str, Any]]:
    """Every service of the project with all its keys; paths are seen from the rendered folder."""
    known = rendered.document(_FILE).get("services") or {}
    return {name: _service(rendered, _FILE, name) for name in known}


def top_level(rendered: Rendered) -> dict[str, Any]:
    """What the project says beside its services."""
    values = rendered.document(f"{FOLDER}/.env")
    own = {key: item for key, item in rendered.document(_FILE).items() if key != "services"}
    found: dict[str, Any] = _filled(own, values)
    found["files"] = values.get("COMPOSE_FILE", "")
    for name, settings in (found.get("secrets") or {}).items():
        if isinstance(settings, dict) and "file" in settings:
            found["secrets"][name] = {**settings, "file": _place(_FILE, settings["file"])}
    return found


def _service(rendered: Rendered, file: str, name: str) -> dict[str, Any]:
    written = (rendered.document(file).get("services") or {}).get(name)
    data: dict[str, Any] = deepcopy(written) if isinstance(written, dict) else {}
    extended = data.pop("extends", None)
    data = _with_places(file, _filled(data, rendered.document(f"{FOLDER}/.env")))
    if not isinstance(extended, dict):
        return data
    other = _place(file, str(extended["file"])) if "file" in extended else file
    if (other, extended.get("service")) == (file, name):
        return data
    merged: dict[str, Any] = _merged(_service(rendered, other, str(extended.get("service", ""))), data)
    return merged


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return reveal(substitute(parse_template(value), values, unset_is_empty=True))
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list) else value


def _with_places(file: str, data: dict[str, Any]) -> dict[str, Any]:
    """Paths of the host as seen from the rendered folder, and every list in the form that can be merged."""
    result = {key: _mapping(value) if key in _MAPPINGS else value for key, value in data.items()}
    if "env_file" in data:
        files = data["env_file"] if isinstance(data["env_file"], list) else [data["env_file"]]
        result["env_file"] = [_place(file, item["path"] if isinstance(item, dict) else item) for item in files]
    if "volumes" in data:
        result["volumes"] = {item.get("target", ""): item for item in (_volume(file, item) for item in data["volumes"])}
    if "secrets" in data:
        mounts = [item if isinstance(item, dict) else {"source": item} for item in data["secrets"]]
        result["secrets"] = {item.get("target", item.get("source", "")): item for item in mounts}
    return result


def _volume(file: str, item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        source, _, rest = item.partition(":")
        target, _, mode = rest.partition(":")
        item = {"type": "volume", "source": source, "target": target}
        if "ro" in mode.split(","):
            item["read_only"] = True
        if source.startswith((".", "/")):
            item["type"] = "bind"
    return {**item, "source": _place(file, str(item.get("source", "")))} if item.get("type") == "bind" else item


def _place(file: str, path: str) -> str:
    return path if path.startswith("/") else posixpath.normpath(posixpath.join(posixpath.dirname(file), path))


def _mapping(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    pairs = (str(item).partition("=") for item in value)
    return {name: text if sign else None for name, sign, text in pairs}


def _merged(below: Any, above: Any) -> Any:
    """As Compose merges a service with the one that it extends."""
    if isinstance(below, dict) and isinstance(above, dict):
        result = dict(below)
        for key, value in above.items():
            replaces = key in _REPLACED or key == "test"
            result[key] = value if replaces or key not in below else _merged(below[key], value)
        return result
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *(item for item in above if item not in below)]
    return above
