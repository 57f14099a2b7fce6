"""`overrides/compose.yaml`: the operator's own Compose file, which Compose reads last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moorage.errors import InputError, Problem
from moorage.formats import Document, dotted, is_file, read_yaml
from moorage.sensitive import Sensitive

NAME = "overrides/compose.yaml"
_MAPPINGS = ("services", "networks", "volumes", "configs", "secrets")


def read_override(folder: Path) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The override, None where there is none or nothing in it, and what Compose would refuse in the middle of `up`."""
    if not is_file(folder / NAME):
        return None, []
    try:
        document = read_yaml(folder / NAME, NAME)
    except InputError as error:
        return None, list(error.problems)
    content = document.value
    if content is None:
        return None, []
    if not isinstance(content, dict):
        return None, [Problem(document.place(()), "", "must be a mapping, as a Compose file is")]
    problems = [
        _must_be_a_mapping(document, key)
        for key in _MAPPINGS
        if content.get(key) is not None and not isinstance(content[key], dict)
    ]
    services = content.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        if not isinstance(service, dict):
            problems.append(_must_be_a_mapping(document, "services", name))
    return (None, problems) if problems else (content, [])


def override_source(folder: Path) -> Sensitive:
    """The file as it is written, comments included; operators may write passwords into it."""
    return Sensitive((folder / NAME).read_bytes().decode("utf-8"))


def _must_be_a_mapping(document: Document, *path: str) -> Problem:
    return Problem(document.place(path), dotted(path), "must be a mapping")
