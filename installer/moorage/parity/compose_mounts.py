"""What a container of a server mounts: volumes, files by their content, memory, folders of the host."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from moorage.parity.facts import SECRET, Facts
from moorage.parity.rendered import Rendered
from moorage.parity.words import content, leaves, size

_USUAL = {"type", "source", "target", "read_only", "volume", "bind"}


def note(facts: Facts, rendered: Rendered, subject: str, data: Mapping[str, Any], project: Mapping[str, Any]) -> None:
    """All mounts of one service; secrets are found in what the project says beside its services."""
    for place, mount in (data.get("volumes") or {}).items():
        target = place or "nowhere"
        if mount.get("type") == "volume":
            _volume(facts, subject, target, mount)
        elif mount.get("type") == "bind":
            _bind(facts, rendered, subject, target, mount)
        else:
            facts.note(subject, f"mount.{target}", f"a mount of no kind: {mount.get('type')}")
        for path, text in leaves({key: value for key, value in mount.items() if key not in _USUAL}):
            facts.note(subject, f"mount.{target}.{path}", text)
    for entry in data.get("tmpfs") or []:
        target, _, options = str(entry).partition(":")
        settings = dict(item.partition("=")[::2] for item in options.split(",") if item)
        facts.note(subject, f"mount.{target}", f"memory {size(settings.pop('size', ''))}".strip())
        for name, value in settings.items():
            facts.note(subject, f"mount.{target}.{name}", value or "yes")
    if data.get("shm_size"):
        facts.note(subject, "mount./dev/shm", f"memory {size(data['shm_size'])}")
    for target, mount in (data.get("secrets") or {}).items():
        place = target if target.startswith("/") else f"/run/secrets/{target}"
        facts.note(subject, f"file.{place}", _secret(rendered, (project.get("secrets") or {}).get(mount.get("source"))))
        for path, text in leaves({key: value for key, value in mount.items() if key not in ("source", "target")}):
            facts.note(subject, f"file.{place}.{path}", text)


def _volume(facts: Facts, subject: str, target: str, mount: Mapping[str, Any]) -> None:
    options = mount.get("volume") or {}
    text = f"volume {mount.get('source', '(nameless)')}"
    if options.get("subpath"):
        text += f" folder {options['subpath']}"
    facts.note(subject, f"mount.{target}", text + _mode(mount))
    facts.note(subject, f"mount.{target}.first content", "" if options.get("nocopy") else "the image's")


def _secret(rendered: Rendered, settings: Mapping[str, Any] | None) -> str:
    """A file of the private folder, or the recovery key beside it."""
    file = str((settings or {}).get("file", ""))
    _, mark, path = file.partition(f"secrets/{rendered.environment}/compose/")
    known = path in rendered.private if mark else file.endswith("secrets/recovery.key")
    return SECRET if known else "a secret that is not there"


def _bind(facts: Facts, rendered: Rendered, subject: str, target: str, mount: Mapping[str, Any]) -> None:
    source = str(mount.get("source", ""))
    files = _content(rendered, subject, source)
    if not files:
        place = source if source.startswith("/") else posixpath.normpath(posixpath.join("rendered/x", source))
        shown = place.replace(f"/{rendered.environment}/", "/${ENVIRONMENT}/").replace("rendered/x", "rendered")
        makes = (mount.get("bind") or {}).get("create_host_path", True) is True
        facts.note(subject, f"mount.{target}", f"host {shown}{_mode(mount)}")
        facts.note(subject, f"mount.{target}.makes the folder", makes and not source.startswith("/var/run/"))
        return
    for path, text in files.items():
        facts.note(subject, f"file.{target}/{path}" if path else f"file.{target}", f"{text}{_mode(mount)}")
    if "" not in files:
        facts.note(subject, f"mount.{target}", "files only")


def _content(rendered: Rendered, subject: str, source: str) -> dict[str, str]:
    """The rendered or private files at a place, by their paths in it: what each says, or that it is a secret."""
    found = {path: content(subject, path, text) for path, text in rendered.texts.items()}
    _, mark, private = source.partition(f"secrets/{rendered.environment}/compose/")
    if mark:
        found, source = dict.fromkeys(rendered.private, SECRET), private
    if source in found:
        return {"": found[source]}
    inside = {path.removeprefix(f"{source}/"): text for path, text in found.items() if path.startswith(f"{source}/")}
    return {path: text for path, text in inside.items() if path != ".keep"}


def _mode(mount: Mapping[str, Any]) -> str:
    return " read-only" if mount.get("read_only") else ""
