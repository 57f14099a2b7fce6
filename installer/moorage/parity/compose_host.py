"""What the host itself is given: jobs and their clocks, volumes, Docker's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.assets import asset
from moorage.parity import calendars
from moorage.parity.facts import Facts
from moorage.parity.rendered import Rendered
from moorage.parity.words import PRESENT, digest, leaves, seconds, size

_UNITS = "host/systemd/"


def note(facts: Facts, rendered: Rendered, project: Mapping[str, Any]) -> None:
    """Jobs, volumes, networks and the host's files."""
    for job in rendered.document("stack.json").get("jobs") or []:
        _job(facts, rendered, job)
    for place, text in rendered.texts.items():
        shipped = _shipped(place)
        if shipped is not None:
            told = "as shipped" if digest(text.removesuffix("\0")) == digest(shipped.read_bytes()) else "another one"
            facts.note("static files", place, told)
    facts.note("project", "name", project.get("name") or "that of its folder")
    facts.note("project", "files", project.get("files") or "those that Compose looks for")
    for name, settings in (project.get("volumes") or {}).items():
        data = dict(settings or {})
        facts.note(f"volume {name}", "exists", "yes")
        facts.note(f"volume {name}", "of others", bool(data.pop("external", False)))
        _labelled(facts, f"volume {name}", data)
    for name, settings in (project.get("networks") or {}).items():
        data = dict(settings or {})
        data.pop("internal", None)
        _labelled(facts, f"docker network {name}", {"exists": True, **data})
    for kind in ("secrets", "configs"):
        for name, settings in (project.get(kind) or {}).items():
            shown = {
                key: str(text).replace(f"secrets/{rendered.environment}/", "secrets/${ENVIRONMENT}/")
                for key, text in (settings or {}).items()
            }
            _labelled(facts, f"docker {kind} {name}", shown)
    _clock(facts, rendered, "backup", f"{_UNITS}moorage-{facts.own.get('PROJECT', '')}.backup")
    _clock(facts, rendered, "nodes", f"{_UNITS}moorage-{facts.own.get('PROJECT', '')}")
    note_plan(facts, rendered.document("backups/plan.json"))
    for name, text in _settings(rendered.texts.get("backups/night.settings", "").splitlines()):
        facts.note("backup", f"night.{name}", text)
    daemon = rendered.document("host/docker/daemon.json")
    options = daemon.get("log-opts") or {}
    facts.note("nodes", "log", f"{size(options.get('max-size'))} x {options.get('max-file')}" if options else "")
    pools = [" ".join(leaf) for leaf in leaves(daemon.get("default-address-pools") or [])]
    facts.note("nodes", "docker.address pools", pools)
    daemon = {"live-restore": False, "log-driver": "of Docker's choice", **daemon}
    for path, text in leaves(
        {key: value for key, value in daemon.items() if key not in ("log-opts", "default-address-pools")}
    ):
        facts.note("nodes", f"docker.{path}", text)


def _shipped(place: str) -> Path | None:
    """The file that a static one is a copy of, byte for byte; None for one that is written for this deployment."""
    folder, _, name = place.rpartition("/")
    if folder == "compose/platform":
        return asset("compose", name)
    return asset("backups", name) if place == "backups/night.sh" else None


def note_plan(facts: Facts, plan: Mapping[str, Any]) -> None:
    """The plan of the backups, setting by setting; that it names its own target is no difference."""
    data = dict(plan)
    for volume in data.pop("volumes", None) or []:
        shown = " ".join(f"{path}={text}" for path, text in leaves(volume) if path != "name")
        facts.note("backup", f"plan.volume {volume.get('name')}", shown)
    for path, text in leaves(data):
        facts.note("backup", f"plan.{path}", "its own" if path == "target" and text == facts.target else text)


def _labelled(facts: Facts, subject: str, data: Mapping[str, Any]) -> None:
    for path, text in leaves(data):
        facts.note(
            subject, path, PRESENT if path == "labels.moorage.deployment" and text == facts.own.get("ID") else text
        )


def _job(facts: Facts, rendered: Rendered, job: Mapping[str, Any]) -> None:
    subject = f"job {job.get('name')}"
    facts.note(subject, "runs", job.get("run"))
    facts.note(subject, "of", job.get("service"))
    facts.note(subject, "time limit", seconds(job.get("timeout_seconds")))
    unit = f"{_UNITS}moorage-{facts.own.get('PROJECT', '')}.{job.get('name')}"
    _clock(facts, rendered, subject, unit)


def _clock(facts: Facts, rendered: Rendered, subject: str, unit: str) -> None:
    """A timer and the unit that it starts, line by line."""
    lines = [line for kind in ("timer", "service") for line in rendered.texts.get(f"{unit}.{kind}", "").splitlines()]
    facts.note(
        subject, "schedule", calendars.of_systemd([text for name, text in _settings(lines) if name == "OnCalendar"])
    )
    for name, text in _settings(lines):
        if name not in ("OnCalendar", "Description"):
            facts.note(subject, f"clock.{name}", text)


def _settings(lines: list[str]) -> list[tuple[str, str]]:
    found = [line.partition("=") for line in lines if line and not line.startswith(("#", "["))]
    headings = [("section", line) for line in lines if line.startswith("[")]
    return [*headings, *((name, text) for name, sign, text in found if sign)]
