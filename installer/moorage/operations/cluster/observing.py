"""`moorage status`, `logs`, `run` for a cluster: look and use, change nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations import backup_health
from moorage.operations.cluster import backups
from moorage.operations.cluster.opening import ContextChoice, open_cluster
from moorage.targets.cluster import entrance, exchange, running, site
from moorage.targets.cluster import logs as cluster_logs
from moorage.targets.cluster.entrance import Entrance
from moorage.targets.cluster.logs import LogOptions
from moorage.targets.cluster.objects import Identity, Object, at
from moorage.targets.cluster.place import Place, load_facts
from moorage.targets.cluster.pods import restarts
from moorage.targets.cluster.workloads import Scene, all_pods, in_the_way, is_done, ready, scene, wanted
from moorage.targets.k8s.facts import ClusterFacts, WorkloadFacts
from moorage.targets.releases import Releases
from moorage.words import nearest

_RENEWAL_DAYS = 14


def status(folder: Path, environment: str, console: Console, choice: ContextChoice) -> int:
    """Show workloads, site, certificate and releases; gives 0 when all is green, else 1."""
    facts = load_facts(Place(folder, environment).rendered)
    cluster = open_cluster(facts, choice, console)
    now = scene(cluster, facts)
    rows = [_row(now, item) for item in facts.everywhere]
    doors = entrance.entrances(cluster, facts)
    answer = _asked(facts, doors)
    site_is_good = 0 < answer.status < 500
    certificate, certificate_is_good = _certificate(facts)
    saved = backups.look(cluster, facts, Place(folder, environment))
    releases = Releases(folder, environment)
    current = releases.current()
    good = all(row["good"] for row in rows) and site_is_good and certificate_is_good and current is not None
    good = good and (saved is None or saved.good)
    report: dict[str, Any] = {
        "good": good,
        "project": facts.project,
        "environment": environment,
        "context": cluster.context.name,
        "namespace": facts.namespace,
        "url": facts.base_url,
        "site": {"path": facts.check_path, "status": answer.status, "good": site_is_good, "text": answer.text},
        "entrances": [
            {"host": item.host, "port": item.port, "of": "node" if item.is_node else "load balancer"} for item in doors
        ],
        "certificate": certificate,
        "release": current.id if current else None,
        "releases": [{"id": item.id, "time": item.time, "moorage": item.moorage} for item in releases.all()],
        "damaged_releases": [str(record) for record in releases.damaged()],
        "services": rows,
        "backups": {"enabled": False} if saved is None else {"enabled": True, **saved.as_data()},
    }
    if console.as_json:
        console.data(report)
    else:
        _show(report, console)
        backup_health.show(saved, console)
    return 0 if good else 1


def _asked(facts: ClusterFacts, doors: list[Entrance]) -> site.Answer:
    """The site by its public name; on minikube, whose names lead nowhere without a tunnel, at the node's port as well."""
    answer = site.ask(facts.base_url, facts.check_path)
    if answer.status or facts.minikube is None:
        return answer
    for door in doors:
        found = entrance.ask(door, facts)
        if found.is_good:
            return site.Answer(found.status, f"at {door} only; {entrance.way_in(facts)}")
    return answer


def _row(now: Scene, item: WorkloadFacts) -> dict[str, Any]:
    found = now.find(item.kind, item.name)
    if found is None:
        return {
            "service": item.name,
            "state": "missing",
            "ready": 0,
            "wanted": 1,
            "good": False,
            "since": "",
            "restarts": 0,
            "image": item.image,
            "why": "",
        }
    pods = all_pods(now, found)
    done = is_done(found)
    rests = not wanted(found)
    why = "" if done else next((trouble.text for trouble in in_the_way(now, found)), "")
    return {
        "service": item.name,
        "state": "down" if rests else "ready" if done else "not ready",
        "ready": ready(found),
        "wanted": wanted(found),
        "good": done and not rests,
        "since": min((str(at(pod, "status", "startTime") or "") for pod in pods), default=""),
        "restarts": sum(restarts(pod) for pod in pods),
        "image": _image(found, item),
        "why": why,
    }


def _image(found: Object, item: WorkloadFacts) -> str:
    containers = at(found, "spec", "template", "spec", "containers") or ()
    return str(next((each["image"] for each in containers if each["name"] == item.name), item.image))


def _certificate(facts: ClusterFacts) -> tuple[dict[str, Any], bool]:
    if not facts.base_url.startswith("https"):
        return {"mode": facts.tls_mode}, True
    days, why = site.certificate_days(facts.base_url, datetime.now(timezone.utc))
    if days is None:
        return {"mode": facts.tls_mode, "problem": f"is not believed: {why}"}, facts.tls_mode == "internal-ca"
    data = {"mode": facts.tls_mode, "days_left": round(days, 1)}
    if days < _RENEWAL_DAYS:
        return {**data, "problem": f"ends in {days:.0f} days and was not renewed"}, False
    return data, True


def _show(report: dict[str, Any], console: Console) -> None:
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
    for row in report["services"]:
        if row["why"]:
            console.failure(f"{row['service']}: {row['why']}")
    asked = report["site"]
    said = f" ({asked['text']})" if asked["text"] else ""
    say = console.success if asked["good"] else console.failure
    say(f"{report['url']}{asked['path']} answers {asked['status'] or 'nothing'}{said}")
    doors = [f"{item['host']}:{item['port']} of a {item['of']}" for item in report["entrances"]]
    console.detail(f"visitors come in at {', '.join(doors)}" if doors else "its load balancer has no address yet")
    certificate = report["certificate"]
    if "problem" in certificate:
        console.failure(f"certificate: {certificate['problem']}")
    elif "days_left" in certificate:
        console.success(f"certificate for {certificate['days_left']:.0f} more days")
    kept = ", ".join(item["id"] for item in report["releases"]) or "none"
    if report["release"]:
        console.success(f"release {report['release']} serves in {report['context']} (kept: {kept})")
    else:
        console.failure("no release is recorded: `moorage up` did not finish yet")
    for record in report["damaged_releases"]:
        console.warning(f"{record} can't be read; this release is left out")


def logs(
    folder: Path,
    environment: str,
    console: Console,
    choice: ContextChoice,
    services: list[str],
    *,
    follow: bool,
    tail: str,
    since: str,
) -> int:
    """What the containers say, each line with its pod; gives the exit status."""
    facts = load_facts(Place(folder, environment).rendered)
    known = _known(facts)
    for name in services:
        _refuse_unknown(name, [*known, *(job.name for job in facts.jobs), "backup"])
    cluster = open_cluster(facts, choice, console)
    try:
        count = cluster_logs.show(cluster, facts, services, LogOptions(tail, since, follow), console.line)
    except KeyboardInterrupt:
        return 130
    if not count:
        console.warning("no container of these has started yet; `moorage status` says why")
    return 0


def run_in_service(
    folder: Path, environment: str, console: Console, choice: ContextChoice, service: str, words: list[str]
) -> int:
    """Run a command in a fresh pod of a service; gives its exit status."""
    facts = load_facts(Place(folder, environment).rendered)
    _refuse_unknown(service, _known(facts))
    cluster = open_cluster(facts, choice, console)
    exchange.refuse(cluster, facts)
    owner = next(item for item in facts.workloads if service in (item.name, *item.containers))
    found = cluster.read(Identity("apps", owner.kind, facts.namespace, owner.name))
    if found is None:
        raise MoorageError(f"{service} is not in the cluster yet", "`moorage up` brings it there")
    return running.run(cluster, facts, service, service, found["spec"]["template"], words, console)


def _known(facts: ClusterFacts) -> list[str]:
    return list(dict.fromkeys(name for item in facts.workloads for name in (item.name, *item.containers)))


def _refuse_unknown(name: str, known: list[str]) -> None:
    if name not in known:
        meant = nearest(name, known)
        raise MoorageError(
            f"there is no service `{name}`" + (f"; did you mean {meant}?" if meant else ""),
            f"services: {', '.join(known)}",
        )
