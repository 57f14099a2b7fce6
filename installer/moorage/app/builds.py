"""`build` of a service. Nothing of it may be secret: arguments and layers stay in the image for everybody to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.model import Build
from moorage.app.reader import Reader
from moorage.formats import KeyPath
from moorage.sensitive import Sensitive, Text

_OWN_FIELDS = ("context", "dockerfile", "target", "args", "additional_contexts")


def read_build(reader: Reader, value: Any, path: KeyPath, values: Mapping[str, Text]) -> Build | None:
    """How the image is made, None where it is not made here; `values` are the variables' for arguments without one."""
    if value is None:
        return None
    if isinstance(value, (str, Sensitive)):
        return Build(context=reader.text(value, path))
    kept = reader.keys(value, path, subset.BUILD, f"service {path[1]}, build")
    other = {key: item for key, item in kept.items() if key not in _OWN_FIELDS and subset.BUILD[key].verdict == "kept"}
    reader.no_secret(other, path)
    return Build(
        context=reader.text(kept.get("context"), (*path, "context"), "."),
        dockerfile=reader.text(kept.get("dockerfile"), (*path, "dockerfile")),
        target=reader.text(kept.get("target"), (*path, "target")),
        arguments=_arguments(reader, kept.get("args"), (*path, "args"), values),
        additional_contexts=_contexts(reader, kept.get("additional_contexts"), (*path, "additional_contexts")),
        other=other,
    )


def _arguments(reader: Reader, value: Any, path: KeyPath, values: Mapping[str, Text]) -> dict[str, str]:
    """A name alone takes the variable's value; without one the Dockerfile's own default stays."""
    found: dict[str, str] = {}
    for name, item in reader.plain_pairs(value, path).items():
        given = values.get(name) if item is None else item
        if given is not None:
            found[name] = reader.text(given, (*path, name))
    return found


def _contexts(reader: Reader, value: Any, path: KeyPath) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, item in reader.pairs(value, path).items():
        if item in (None, ""):
            reader.report((*path, name), "needs the path or image that the name stands for", of_key=True)
        else:
            found[name] = reader.text(item, (*path, name))
    return found
