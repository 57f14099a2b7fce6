"""`moorage check`: gather what the stack needs, look, tell."""

from __future__ import annotations

from dataclasses import replace

from moorage import flow
from moorage.app.images import DATABASE_PORTS
from moorage.checks.base import BackupNeed, Finding, Needs, PublicationNeed, ServiceNeed
from moorage.console import Console
from moorage.targets.compose import taken_volumes
from moorage.targets.compose.facts import StackFacts
from moorage.words import plural

_ALWAYS_BLOCKING = ("engine", "disk", "volumes")


def check(deployment: flow.Deployment, console: Console) -> int:
    """Show every finding; gives 0, or 1 when something stands in the way."""
    from moorage.checks.run import run_checks

    findings = [_placed(finding, deployment) for finding in run_checks(needs_of(deployment))]
    failures = [finding for finding in findings if finding.level == "failure"]
    if console.as_json:
        console.data({"good": not failures, "findings": [_as_data(finding) for finding in findings]})
        return 1 if failures else 0
    for finding in findings:
        say = {"ok": console.success, "warning": console.warning, "failure": console.failure}[finding.level]
        say(f"{finding.check}: {finding.text}")
        if finding.fix and finding.level != "ok":
            where = f"  ({finding.place})" if finding.place and finding.place.line else ""
            console.detail(f"→ {finding.fix}{where}")
    warnings = sum(finding.level == "warning" for finding in findings)
    summary = f"{plural(len(failures), 'failure')}, {plural(warnings, 'warning')}"
    (console.failure if failures else console.success)(summary)
    return 1 if failures else 0


def blocking_findings(deployment: flow.Deployment, console: Console, *, is_first: bool) -> list[Finding]:
    """The failures that `up` must not ignore. Images are left to `up` itself, which obtains them.

    A site that runs already is not kept from a repair by its DNS or clock: that is only told then.
    """
    from moorage.checks.run import run_checks

    with console.waiting("checking this server"):
        found = [_placed(finding, deployment) for finding in run_checks(needs_of(deployment))]
    failures = [finding for finding in found if finding.level == "failure" and finding.check != "images"]
    blocking = [finding for finding in failures if is_first or finding.check in _ALWAYS_BLOCKING]
    for finding in failures:
        if finding not in blocking:
            console.warning(f"{finding.check}: {finding.text}")
            console.detail(f"→ {finding.fix}")
    return blocking


def needs_of(deployment: flow.Deployment) -> Needs:
    """What this stack asks of the host."""
    stack = deployment.stack
    edge = stack.edge
    ports = [(edge.http_port, "HTTP")] + ([(edge.https_port, "HTTPS")] if edge.terminates_tls else [])
    facts = flow.facts_of_stack(stack)
    return Needs(
        folder=deployment.folder.resolve(),
        project=stack.project,
        environment=stack.environment,
        deployment_id=stack.deployment_id,
        domain=stack.domain,
        wildcard=stack.wildcard,
        hosts=tuple(sorted({host for route in stack.routes for host in route.hosts} | ({edge.dashboard_host} - {""}))),
        tls_mode=edge.tls_mode,
        acme_challenge=edge.acme.challenge if edge.acme else "",
        acme_server=edge.acme.server if edge.acme else "",
        certificate_file=edge.certificate_file,
        key_file=edge.key_file,
        address=edge.address,
        ports=tuple(ports),
        memory=stack.host.memory,
        cpus=stack.host.cpus,
        disk=stack.host.disk_size,
        public_address=stack.host.address,
        memory_limits=sum(line.memory * line.count for line in stack.budget),
        minimum_memory=stack.minimum_memory,
        minimum_disk=stack.minimum_disk,
        log_budget=stack.logs_total,
        volumes=facts.volumes,
        external_volumes=facts.external_volumes,
        taken_volumes=taken_volumes.read(deployment.folder, deployment.environment, stack.deployment_id),
        services=tuple(
            ServiceNeed(
                item.name,
                _image_to_get(item.image, facts),
                item.builds,
                *_docker_access(deployment, item.name),
                mounted=None if item.one_shot else item.mounted,
            )
            for item in facts.services
        ),
        app_images=tuple(ServiceNeed(item.name, item.image, item.builds) for item in facts.extra_images),
        pull=stack.pull,
        creates_containers=edge.socket_proxy_image is not None,
        networks_per_project=bool(stack.project_networks),
        publications=tuple(
            PublicationNeed(item.service, item.host_port, item.address, item.protocol, ("publish", index))
            for index, item in enumerate(stack.publications)
        ),
        database_publications=tuple(
            (item.service, item.host_port, item.address)
            for item in stack.publications
            if item.container_port in DATABASE_PORTS
        ),
        backups=_backups(facts),
    )


def _backups(facts: StackFacts) -> BackupNeed | None:
    job = facts.backups
    if job is None:
        return None
    return BackupNeed(
        job.image,
        len(job.stores),
        job.directories,
        bool(job.default_folder),
        job.log_store,
        facts.postgres_service,
        facts.postgres_superuser,
    )


def _image_to_get(name: str, facts: StackFacts) -> str:
    """What must be had for a service: that of a Postgres whose log is archived is made here, of the image behind it."""
    job = facts.backups
    return (job.base_image or name) if job and name == job.server_image else name


def _docker_access(deployment: flow.Deployment, name: str) -> tuple[str, str]:
    for service in deployment.stack.services:
        if service.name == name:
            return service.docker_access, service.docker_access_reason
    return "", ""


def _placed(finding: Finding, deployment: flow.Deployment) -> Finding:
    if not finding.key:
        return finding
    place = deployment.loaded.document.place(deployment.loaded.source(finding.key))
    return replace(finding, place=place)


def _as_data(finding: Finding) -> dict[str, object]:
    place = finding.place
    return {
        "check": finding.check,
        "level": finding.level,
        "text": finding.text,
        "fix": finding.fix,
        "file": place.file if place else "",
        "line": place.line if place else 0,
        "column": place.column if place else 0,
    }
