"""The images that are built on the host, as a Compose file of their own."""

from __future__ import annotations

import re
from typing import Any

from moorage.stack.model import Image, Stack
from moorage.targets.compose_data import in_order, literal

BUILD_FILE = "build.yaml"
# The variable that names the folder of the sources.
ASSETS_VARIABLE = "MOORAGE_ASSETS"
# What Docker fetches by itself: a repository or an archive.
_REMOTE = re.compile(r"(https?|git|ssh)://|git@|github\.com/")


def build_file(stack: Stack) -> dict[str, Any]:
    """What `docker compose -f build.yaml build` makes; apart from the stack, because it needs the sources."""
    named = [(service.name, service.image) for service in stack.services]
    named += [(item.name.rpartition("/")[2].partition(":")[0], item.image) for item in stack.extra_images]
    named += [(name, image) for component in stack.components for name, image in component.images.items()]
    content: dict[str, Any] = {}
    seen: set[str] = set()
    for name, image in named:
        if image.build is None or image.reference in seen:
            continue
        seen.add(image.reference)
        # An extra image may be called like a service.
        key = name if name not in content else f"{name}-{len(content)}"
        content[key] = {"image": image.reference, "build": _build(image)}
    return {"name": f"{stack.project}-build", "services": content}


def _build(image: Image) -> dict[str, Any]:
    assert image.build is not None
    build = image.build
    data: dict[str, Any] = {}
    if build.dockerfile:
        data["dockerfile"] = build.dockerfile
    if build.target:
        data["target"] = build.target
    if build.arguments:
        data["args"] = dict(sorted(build.arguments.items()))
    if build.additional_contexts:
        data["additional_contexts"] = dict(sorted(build.additional_contexts.items()))
    place = {"context": _context(build.context)}
    result: dict[str, Any] = place | literal({**data, **in_order(build.other)})
    return result


def _context(written: str) -> str:
    """Where a build starts. The folder of the sources is a variable: it differs per machine, the rendered text must not."""
    if written.startswith("/") or _REMOTE.match(written):
        return written.replace("$", "$$")
    base = f"${{{ASSETS_VARIABLE}}}"
    context = written.removeprefix("./").strip("/")
    return base if context in ("", ".") else f"{base}/{context}"
