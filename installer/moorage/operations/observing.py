"""`moorage status`, `logs`, `run`: look and use, change nothing."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage.backups.health import HealthFinding
from moorage.backups.log_state import client, judge_log, read_log_state
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations import backup_health
from moorage.targets.compose import exchange_mark, probe
from moorage.targets.compose.docker import Container, Docker, engine_version
from moorage.targets.compose.facts import ServiceFacts, StackFacts
from moorage.targets.compose.place import Place, load_facts
from moorage.targets.releases import Releases
from moorage.words import nearest

_RENEWAL_DAYS = 14


def status(folder: Path, environment: str, console: Console) -> int:
    """Show services, site, certificate and releases; gives 0 when all is green, else 1."""
    place = Place(folder, environment)
    facts = load_facts(place.rendered)
    engine_version()
    docker = Docker(facts.project, place.compose, console)
    containers = docker.containers()
    rows = [_row(service, containers) for service in facts.services if not service.one_shot]
    site = probe.ask(facts, facts.domain, facts.check_path)
    site_is_good = site.is_routed and site.status < 500
    certificate, certificate_is_good = _certificate(facts)
    releases = Releases(folder, environment)
    current = releases.current()
    backups, backups_are_good = _backups(facts, docker)
    health = backup_health.look(place, log=_log(facts, docker, containers))
    good = all(row["good"] for row in rows) and site_is_good and certificate_is_good and current is not None
    good = good and backups_are_good and (health is None or health.good)
    report: dict[str, Any] = {
        "good": good,
        "project": facts.project,
        "environment": environment,
        "url": facts.base_url,
        "site": {"path": facts.check_path, "status": site.status, "good": site_is_good},
        "certificate": certificate,
        "backups": {**backups, **(health.as_data() if health else {})},
        "release": current.id if current else None,
        "releases": [{"id": item.id, "time": item.time, "moorage": item.moorage} for item in releases.all()],
        "damaged_releases": [str(record) for record in releases.damaged()],
        "services": rows,
    }
    if console.as_json:
        console.data(report)
    else:
        _show(report, console, certificate_is_good)
        backup_health.show(health, console)
    return 0 if good else 1


def _row(service: ServiceFacts, containers: tuple[Container, ...]) -> dict[str, Any]:
    mine = [item for item in containers if item.service == service.name and not item.is_one_off]
    ready = sum(item.is_ready for item in mine)
    states = sorted({item.health or item.state for item in mine}) or ["missing"]
    return {
        "service": service.name,
        "state": ", ".join(states),
        "ready": ready,
        "wanted": service.replicas,
        "good": ready == service.replicas and len(mine) == service.replicas,
        "since": min((item.started for item in mine), default=""),
        "restarts": sum(item.restarts for item in mine),
        "image": service.image,
    }


def _backups(facts: StackFacts, docker: Docker) -> tuple[dict[str, Any], bool]:
    job = facts.backups
    if job is None:
        return {"enabled": False}, True
    data: dict[str, Any] = {"enabled": True, "schedule": job.schedule, "stores": list(job.stores), "image": job.image}
    if not docker.image_id(job.image):
        problem = f"no backups are made: the image {job.image} is not here; `moorage up` builds it"
        return {**data, "problem": problem}, False
    return data, True


def _log(facts: StackFacts, docker: Docker, containers: tuple[Container, ...]) -> tuple[HealthFinding, ...]:
    """Whether the database's log reaches its store; one that does not run is told elsewhere."""
    running = [item for item in containers if item.service == facts.postgres_service and item.is_running]
    if facts.backups is None or not facts.backups.log_store or not running:
        return ()
    answer = docker.docker("exec", running[0].id, *client(facts.postgres_superuser), check=False, timeout_seconds=20)
    return judge_log(read_log_state(answer.output), facts.backups.log_store)


def _certificate(facts: StackFacts) -> tuple[dict[str, Any], bool]:
    if not facts.https_port:
        return {"mode": facts.tls_mode}, True
    found = probe.certificate(facts, facts.domain)
    if found is None:
        return {"mode": facts.tls_mode, "problem": "the edge does not answer"}, False
    days = found.days_left(datetime.now(timezone.utc))
    data = {
        "mode": facts.tls_mode,
        "issuer": found.issuer,
        "not_after": f"{found.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "days_left": round(days, 1),
        "names": list(found.names),
    }
    if found.is_default:
        return {**data, "problem": "no certificate was issued yet; `moorage logs traefik` says why"}, False
    if days < _RENEWAL_DAYS:
        return {**data, "problem": f"ends in {days:.0f} days and was not renewed"}, False
    return data, True


def _show(report: dict[str, Any], console: Console, certificate_is_good: bool) -> None:
    heads = ("service", "state", "ready", "since", "restarts", "image")
    rows = [
        (
            row["service"],
            row["state"],
            f"{row['ready']}/{row['wanted']}",
            row["since"][:19].replace("T", " "),
            str(row["restarts"]),
            row["image"],
        )
        for row in report["services"]
    ]
    console.table(heads, rows)
    site = report["site"]
    say = console.success if site["good"] else console.failure
    say(f"{report['url']}{site['path']} answers {site['status'] or 'nothing'}")
    certificate = report["certificate"]
    if "problem" in certificate:
        console.failure(f"certificate: {certificate['problem']}")
    elif "not_after" in certificate and certificate_is_good:
        console.success(
            f"certificate until {certificate['not_after'][:10]} ({certificate['days_left']:.0f} days), {certificate['issuer']}"
        )
    if "problem" in report["backups"]:
        console.failure(f"backups: {report['backups']['problem']}")
    releases = ", ".join(item["id"] for item in report["releases"]) or "none"
    if report["release"]:
        console.success(f"release {report['release']} serves (kept: {releases})")
    elif report["damaged_releases"]:
        console.failure(
            "what serves is not known: no release that can be read is the current one; `moorage up` records it"
        )
    else:
        console.failure("no release is recorded: `moorage up` did not finish yet")
    for record in report["damaged_releases"]:
        console.warning(f"{record} can't be read; this release is left out")


def logs(
    folder: Path, environment: str, console: Console, services: list[str], *, follow: bool, tail: str, since: str
) -> int:
    """Hand over to `docker compose logs`; gives its exit status."""
    facts, docker = _stack(folder, environment, console)
    for name in services:
        _known_service(facts, name)
    options = [
        "--timestamps",
        "--tail",
        tail,
        *(["--follow"] if follow else []),
        *(["--since", since] if since else []),
    ]
    # Colours and cursor movements are for a terminal; a file or `grep` would get them as letters.
    is_plain = not sys.stdout.isatty()
    options += ["--no-color"] if is_plain else []
    return docker.compose_attached("logs", *options, *services, is_plain=is_plain)


def run_in_service(folder: Path, environment: str, console: Console, service: str, words: list[str]) -> int:
    """Run a command in a fresh container of a service; gives its exit status."""
    facts, docker = _stack(folder, environment, console)
    _known_service(facts, service, jobs=True)
    exchange_mark.refuse(Place(folder, environment))
    terminal = [] if sys.stdin.isatty() and sys.stdout.isatty() else ["-T"]
    return docker.compose_attached("run", "--rm", "--no-deps", *terminal, service, *words)


def _stack(folder: Path, environment: str, console: Console) -> tuple[StackFacts, Docker]:
    place = Place(folder, environment)
    facts = load_facts(place.rendered)
    return facts, Docker(facts.project, place.compose, console)


def _known_service(facts: StackFacts, name: str, *, jobs: bool = False) -> None:
    known = [service.name for service in facts.services] + [job.name for job in facts.jobs if jobs]
    if name not in known:
        meant = nearest(name, known)
        raise MoorageError(
            f"there is no service `{name}`" + (f"; did you mean {meant}?" if meant else ""),
            f"services: {', '.join(known)}",
        )
