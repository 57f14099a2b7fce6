"""What a container of a pod mounts: claims, files by their content, memory, folders of the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.parity.facts import SECRET, Facts
from moorage.parity.kubernetes_objects import Objects, Pod
from moorage.parity.words import content, leaves, size

# The containers that fill a new disk, and where they have it.
_FILLER = "fill-"
_FILLED = "/moorage/volumes"

_WHAT_LINKS_LEAD_TO = "..data"


def note(
    facts: Facts, objects: Objects, subject: str, mounts: list[dict[str, Any]], volumes: Mapping[str, dict[str, Any]]
) -> None:
    """All mounts of one container; marks the volumes that it uses."""
    for mount in mounts:
        volume = volumes.get(mount.get("name", ""), {})
        volume["used"] = True
        target, inside = str(mount.get("mountPath")), str(mount.get("subPath", ""))
        mode = " read-only" if mount.get("readOnly") else ""
        for path, text in leaves(
            {k: v for k, v in mount.items() if k not in ("name", "mountPath", "subPath", "readOnly")}
        ):
            facts.note(subject, f"mount.{target}.{path}", text)
        _mount(facts, objects, subject, volume, target, inside, mode)


def note_filling(facts: Facts, pod: Pod, containers: list[dict[str, Any]], first: list[dict[str, Any]]) -> None:
    """Which new disks get what the image has at their place: by a container of the same image that runs first."""
    for filler in first:
        mounted = {str(item.get("mountPath")): item for item in filler.get("volumeMounts") or []}
        for subject, container in zip(pod.subjects, containers, strict=True):
            if filler.get("name") not in (f"{_FILLER}{container.get('name')}", f"{_FILLER}{pod.job.get('service')}"):
                continue
            places = {str(item.get("mountPath")): item for item in container.get("volumeMounts") or []}
            for number, target in enumerate((filler.get("command") or [])[2:], start=1):
                there, here = mounted.get(f"{_FILLED}/{number}", {}), places.get(target, {})
                same = [there.get(key) == here.get(key) for key in ("name", "subPath")] + [bool(there)]
                is_filled = all(same) and filler.get("image") == container.get("image")
                facts.note(subject, f"mount.{target}.first content", "the image's" if is_filled else "something else's")


def _mount(
    facts: Facts, objects: Objects, subject: str, volume: Mapping[str, Any], target: str, inside: str, mode: str
) -> None:
    field = f"mount.{target}"
    if "persistentVolumeClaim" in volume:
        claim = volume["persistentVolumeClaim"]
        folder = f" folder {inside}" if inside else ""
        facts.note(
            subject,
            field,
            f"volume {claim.get('claimName')}{folder}{mode or (' read-only' if claim.get('readOnly') else '')}",
        )
    elif "emptyDir" in volume:
        data = volume["emptyDir"] or {}
        kind = "memory" if data.get("medium") == "Memory" else "disk of the node"
        facts.note(subject, field, f"{kind} {size(data.get('sizeLimit'))}".strip() + mode)
    elif "hostPath" in volume:
        data = volume["hostPath"]
        facts.note(subject, field, f"host {data.get('path')}{mode}")
        facts.note(subject, f"{field}.kind", data.get("type"))
    elif "configMap" in volume or "secret" in volume:
        _files(facts, objects, subject, volume, target, inside, mode)
    else:
        facts.note(subject, field, "a volume that is not there" if volume.keys() <= {"used"} else str(sorted(volume)))


def _files(
    facts: Facts, objects: Objects, subject: str, volume: Mapping[str, Any], target: str, inside: str, mode: str
) -> None:
    source = volume.get("configMap") or volume.get("secret") or {}
    if "configMap" in volume:
        config = objects.config(source.get("name", ""))
        files = None if config is None else {key: content(subject, key, text) for key, text in config.items()}
    else:
        names = objects.secret(source.get("secretName", ""))
        files = None if names is None else dict.fromkeys(names, SECRET)
    if files is None:
        facts.note(subject, f"mount.{target}", "" if source.get("optional") else "files that are not there")
        return
    usual = (0o444, 0o644) if "configMap" in volume else (0o440,)
    if source.get("defaultMode", 0o644) not in usual:
        facts.note(subject, f"mount.{target}.mode", f"{int(source.get('defaultMode', 0o644)):o}")
    # Whether what is seen are the files themselves, and not links to them.
    are_plain = inside == _WHAT_LINKS_LEAD_TO
    inside = "" if are_plain else inside
    for path, (text, bits) in _by_path(source, files).items():
        if inside and path != inside and not path.startswith(f"{inside}/"):
            continue
        place = f"{target}{path.removeprefix(inside)}" if inside else f"{target}/{path}"
        runs = " executable" if bits & 0o100 else ""
        facts.note(subject, f"file.{place}", f"{text}{runs}{mode}")
    if not inside:
        facts.note(subject, f"mount.{target}", "plain files only" if are_plain else "files only")


def _by_path(source: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Path in the volume → what it says, and its mode if it has one of its own."""
    if "items" not in source:
        return {key: (text, 0) for key, text in files.items()}
    return {
        str(item.get("path")): (files.get(item.get("key", ""), "a file that is not there"), int(item.get("mode", 0)))
        for item in source["items"]
    }
