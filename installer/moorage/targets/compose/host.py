"""The host's part: systemd units for boot and schedules, and a proposal for Docker's own settings."""

from __future__ import annotations

import re

from moorage.formats import dump_json
from moorage.parity.reasons import Allowed, Pair, lacking, nothing_right, only_left
from moorage.stack.model import BackupSettings, BundledPostgres, BundledRedis, Job, Stack
from moorage.targets.compose.names import (
    EXCHANGE_MARK,
    FOLDER_MARK,
    LABEL_RUNS,
    NIGHT_SCRIPT,
    README_MARK,
    SOCKET_PROXY,
    TRAEFIK,
    from_compose_folder,
)
from moorage.targets.compose.schedule import calendars
from moorage.templating import render_template
from moorage.tree import Tree

# Seconds. One that hangs must have ended before the next one.
_LONGEST_NIGHT = 82800


def add_files(stack: Stack, public: Tree) -> None:
    """Units and daemon.json."""
    ours = f"--filter label=com.docker.compose.project={stack.project} --filter label={LABEL_RUNS}=always"
    view = {
        "project": stack.project,
        "readme": README_MARK,
        "compose_folder": FOLDER_MARK,
        # Not `docker compose start`: that would run the one-shot services again, and with them publish routes.
        "start": f"/bin/sh -c 'docker ps --all --quiet {ours} | xargs --no-run-if-empty docker start'",
        "stop": "/usr/bin/env docker compose stop",
    }
    public.add(f"host/systemd/{unit_name(stack)}.service", render_template("systemd/stack.service.j2", view))
    for job in stack.jobs:
        if job.run == "schedule":
            _add_job(stack, job, public)
    if stack.backups:
        _add_night(stack, stack.backups, public)
    public.add("host/docker/daemon.json", dump_json(_daemon(stack)))


def unit_value(text: str) -> str:
    """A single line as systemd reads it back: `%` starts a specifier, a backslash at the end the next line."""
    return text.replace("%", "%%").rstrip("\\")


def unit_name(stack: Stack) -> str:
    """The name of the stack's unit, without suffix."""
    return f"moorage-{stack.project}"


def long_running_services(stack: Stack) -> list[str]:
    """The services that are expected to run all the time, in the order of the file."""
    names = [TRAEFIK] + ([SOCKET_PROXY] if stack.edge.socket_proxy_image else [])
    names += [
        item.service for item in (stack.postgres, stack.redis) if isinstance(item, (BundledPostgres, BundledRedis))
    ]
    return names + [service.name for service in stack.services if not service.is_one_shot and service.replicas > 0]


def backup_unit(stack: Stack, settings: BackupSettings) -> str:
    """The name of the nightly unit, without suffix; no job has it, because none is called like this service."""
    return _unit_below(stack, settings.service)


def _unit_below(stack: Stack, name: str) -> str:
    # A dot stands in no project's name: with a dash, the job `b` of `a` would be the stack `a-b`, and with two of
    # them the environment `b` of `a`.
    return f"{unit_name(stack)}.{name}"


def _add_job(stack: Stack, job: Job, public: Tree) -> None:
    start = f"/usr/bin/env docker compose run --rm --no-deps -T {job.name}"
    describe = unit_value(" ".join((job.describe or job.name).split()))
    _add_timer(
        stack,
        public,
        _unit_below(stack, job.name),
        describe,
        start,
        job.schedule,
        job.timeout_seconds,
        _exchange(stack),
    )


def _exchange(stack: Stack) -> str:
    """The mark of `exchange_mark`, seen from the compose folder."""
    return from_compose_folder(f"releases/{stack.environment}/{EXCHANGE_MARK}") if stack.backups else ""


def _add_night(stack: Stack, settings: BackupSettings, public: Tree) -> None:
    start, describe = f"/bin/sh ../{NIGHT_SCRIPT}", "nightly backup and its proof"
    _add_timer(stack, public, backup_unit(stack, settings), describe, start, settings.schedule, _LONGEST_NIGHT)


def _add_timer(
    stack: Stack,
    public: Tree,
    name: str,
    describe: str,
    start: str,
    schedule: str,
    timeout_seconds: int,
    waits_for_restore: str = "",
) -> None:
    view = {
        "project": stack.project,
        "project_unit": f"{unit_name(stack)}.service",
        "describe": describe,
        "compose_folder": FOLDER_MARK,
        "start": start,
        "timeout_seconds": timeout_seconds,
        "waits_for_restore": waits_for_restore,
        "schedule": schedule,
        "calendars": calendars(schedule),
    }
    public.add(f"host/systemd/{name}.service", render_template("systemd/job.service.j2", view))
    public.add(f"host/systemd/{name}.timer", render_template("systemd/job.timer.j2", view))


def _daemon(stack: Stack) -> dict[str, object]:
    """Docker's defaults for containers that nobody gave limits: those that the app or a person starts."""
    settings: dict[str, object] = {
        "log-driver": "json-file",
        "log-opts": {"max-size": f"{stack.edge.logs.max_size // 1024}k", "max-file": str(stack.edge.logs.max_files)},
        "live-restore": True,
    }
    if stack.edge.socket_proxy_image:
        # An app that makes a network per project runs out of Docker's default pools after about thirty.
        settings["default-address-pools"] = [{"base": "172.30.0.0/15", "size": 24}]
    return settings


_NIGHT = {
    "clock.section": "[Unit] | [Timer] | [Install] | [Service]",
    "clock.After": "docker.service moorage-${PROJECT}.service",
    "clock.ExecStart": f"/bin/sh ../{NIGHT_SCRIPT}",
    "clock.Persistent": "true",
    "clock.RandomizedDelaySec": "60",
    "clock.Requires": "docker.service",
    "clock.TimeoutStartSec": str(_LONGEST_NIGHT),
    "clock.Type": "oneshot",
    "clock.WantedBy": "timers.target",
    "clock.WorkingDirectory": FOLDER_MARK,
}


def _is_of_a_clock(pair: Pair) -> bool:
    """Whether a line of a unit is one of those that every timer of ours has, or starts the very job."""
    found = pair.left_facts.wholly_neutral(pair.left_facts.values.get(pair.key, "")).replace("NAMESPACE", "PROJECT")
    job = pair.key.subject.removeprefix("job ")
    limit = pair.left_facts.get(pair.key.subject, "time limit").removesuffix("s")
    own = {
        "clock.ExecStart": f"/usr/bin/env docker compose run --rm --no-deps -T {job}",
        "clock.TimeoutStartSec": limit,
        "clock.ExecCondition": f"/usr/bin/test ! -e ../../../releases/{pair.left_facts.environment}/{EXCHANGE_MARK}",
    }
    expected = _NIGHT if pair.key.subject == "backup" else {**_NIGHT, **own}
    raw = pair.left_facts.values.get(pair.key, "")
    return not pair.right and expected.get(pair.key.field) in (found, raw)


_STACK = {
    "clock.section": "[Unit] | [Service] | [Install]",
    "clock.After": "docker.service network-online.target",
    "clock.Documentation": f"file://{README_MARK}",
    "clock.ExecStop": "/usr/bin/env docker compose stop",
    "clock.RemainAfterExit": "yes",
    "clock.Requires": "docker.service",
    "clock.TimeoutStartSec": "600",
    "clock.TimeoutStopSec": "900",
    "clock.Type": "oneshot",
    "clock.WantedBy": "multi-user.target",
    "clock.Wants": "network-online.target",
    "clock.WorkingDirectory": FOLDER_MARK,
}
_START = re.compile(
    r"/bin/sh -c 'docker ps --all --quiet --filter label=com\.docker\.compose\.project=[a-z0-9-]+ "
    r"--filter label=moorage\.runs=always \| xargs --no-run-if-empty docker start'"
)


def _starts_the_stack(pair: Pair) -> bool:
    if pair.key.field == "clock.ExecStart":
        return not pair.right and bool(_START.fullmatch(pair.left_facts.values.get(pair.key, "")))
    return lacking(_STACK)(pair)


_DAEMON = {
    "docker.live-restore": "yes",
    "docker.log-driver": "json-file",
    "docker.address pools": "0.base 172.30.0.0/15 0.size 24",
}

DIFFERENCES = (
    Allowed(
        "backup",
        "clock.*",
        "A timer of systemd is the clock of a server; a CronJob is that of a cluster.",
        _is_of_a_clock,
    ),
    Allowed(
        "job *",
        "clock.*",
        "A timer of systemd is the clock of a server; a CronJob is that of a cluster.",
        _is_of_a_clock,
    ),
    Allowed(
        "nodes",
        "clock.*",
        "systemd starts the stack when the server starts; pods are started by their node.",
        _starts_the_stack,
    ),
    Allowed("nodes", "docker.*", "Docker's own settings on a server.", lacking(_DAEMON)),
    Allowed("docker *", "*", "Networks and secrets as Docker knows them.", nothing_right),
    Allowed("static files", "*", "Files that are the same in every deployment.", only_left("as shipped")),
    Allowed(
        "project", "name", "Docker keeps deployments apart by it, a cluster by namespaces.", only_left("${PROJECT}")
    ),
    Allowed("project", "files", "What Docker Compose reads.", only_left("compose.yaml")),
    Allowed(
        "project",
        "files",
        "An own file of the operator, overrides/compose.yaml, comes after it on a server; nobody compares what it says.",
        lambda pair: pair.left.startswith("compose.yaml:") and pair.left.endswith("/overrides/compose.yaml"),
        capability=True,
    ),
    Allowed(
        "volume *",
        "labels.moorage.deployment",
        "The mark of whose volume it is; a claim is in the namespace of its deployment.",
        only_left("a digest"),
    ),
)
