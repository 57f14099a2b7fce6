"""Limits and counts of a service: `deploy.resources`, `mem_limit` and their kin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.model import Sizes
from moorage.app.reader import Reader
from moorage.formats import KeyPath
from moorage.quantities import parse_cpu, parse_size


def read_sizes(reader: Reader, kept: Mapping[str, Any], path: KeyPath) -> Sizes:
    """What the service may use and what it requests; `deploy` wins over the short keys."""
    place = (*path, "deploy")
    deploy = reader.keys(kept.get("deploy"), place, subset.DEPLOY, f"service {path[1]}, deploy")
    place = (*place, "resources")
    resources = reader.keys(deploy.get("resources"), place, subset.RESOURCES, f"service {path[1]}, deploy.resources")
    limits, requests = (_amounts(reader, resources, place, key) for key in ("limits", "reservations"))
    parsed = reader.parsed
    above, below = (*place, "limits"), (*place, "reservations")
    sizes = Sizes(
        memory=parsed(limits.get("memory"), (*above, "memory"), parse_size)
        or parsed(kept.get("mem_limit"), (*path, "mem_limit"), parse_size),
        memory_request=parsed(requests.get("memory"), (*below, "memory"), parse_size)
        or parsed(kept.get("mem_reservation"), (*path, "mem_reservation"), parse_size),
        cpu=parsed(limits.get("cpus"), (*above, "cpus"), parse_cpu)
        or parsed(kept.get("cpus"), (*path, "cpus"), parse_cpu),
        cpu_request=parsed(requests.get("cpus"), (*below, "cpus"), parse_cpu),
        processes=parsed(limits.get("pids"), (*above, "pids"), count)
        or parsed(kept.get("pids_limit"), (*path, "pids_limit"), count),
    )
    if sizes.memory and sizes.memory_request and sizes.memory_request > sizes.memory:
        where = (*path, "mem_reservation") if "mem_reservation" in kept else (*below, "memory")
        reader.report(where, "reserves more memory than the limit allows")
    return sizes


def _amounts(reader: Reader, resources: Mapping[str, Any], path: KeyPath, key: str) -> dict[str, Any]:
    subject = f"service {path[1]}, deploy.resources.{key}"
    return reader.keys(resources.get(key), (*path, key), subset.AMOUNTS, subject)


def read_replicas(reader: Reader, kept: Mapping[str, Any], path: KeyPath) -> int | None:
    """How many containers the file asks for, None where it says nothing."""
    deploy = kept.get("deploy")
    replicas = deploy.get("replicas") if isinstance(deploy, dict) else None
    found = reader.parsed(replicas, (*path, "deploy", "replicas"), count_or_zero)
    scale = reader.parsed(kept.get("scale"), (*path, "scale"), count_or_zero)
    if found is not None and scale is not None and found != scale:
        reader.report((*path, "scale"), f"contradicts `deploy.replicas`, which is {found}", value=scale)
    chosen = scale if found is None else found
    return None if chosen is None else int(chosen)


def count(value: object) -> int:
    """A whole number from 1. Raises ValueError with the rule."""
    number = _whole(value)
    if number is None or number < 1:
        raise ValueError("must be a whole number of at least 1")
    return number


def count_or_zero(value: object) -> int:
    """A whole number from 0. Raises ValueError with the rule."""
    number = _whole(value)
    if number is None:
        raise ValueError("must be a whole number")
    return number


def _whole(value: object) -> int | None:
    text = str(value)
    return int(text) if not isinstance(value, bool) and text.isascii() and text.isdigit() and len(text) < 16 else None
