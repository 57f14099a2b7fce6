"""`moorage up`, `rollback`, `down`, `uninstall`: everything that changes the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moorage import flow
from moorage.app.notices import for_people
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations import guarding
from moorage.operations.checking import blocking_findings
from moorage.operations.planning import facts_of
from moorage.operations.rendering import compare, refuse_other_version, write
from moorage.process import printable
from moorage.targets.compose import created, exchange_mark, images, job_image, taken_volumes, units
from moorage.targets.compose.certificates import Certificates
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.docker import Docker, engine_version
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.names import WORK_VOLUME
from moorage.targets.compose.place import Place, load_facts
from moorage.targets.lock import deployment_lock
from moorage.targets.releases import Release, Releases
from moorage.words import plural

Confirm = Callable[[str], bool]

# What only a night starts has its own network and volume, which Compose leaves when nobody names the profile.
_EVERYTHING = ("--profile", "backup")


@dataclass(frozen=True)
class TakeOver:
    """The operator's word that volumes which seem to be somebody else's are this deployment's."""

    is_wanted: bool = False
    typed_name: str = ""


def up(
    folder: Path,
    environment: str,
    console: Console,
    *,
    build: bool,
    no_cache: bool,
    skip_checks: bool,
    take_over: TakeOver = TakeOver(),
) -> int:
    """Check, render, deploy, record; gives the exit status."""
    deployment = flow.open_deployment(folder, environment, for_server=True)
    refuse_other_version(deployment.rendered_folder)
    engine_version()
    for notice in for_people(deployment.stack.notices, with_minor=console.verbose):
        console.detail(f"note: {notice.subject}: {notice.text}")
    with deployment_lock(folder, deployment.environment, console) as descriptor:
        place = Place(folder, deployment.environment)
        exchange_mark.refuse(place)
        # First of all, and before a secret is made: what another deployment's secrets open must be left to it.
        guarding.refuse_foreign_containers(deployment.stack, place, console)
        theirs = guarding.foreign_volumes(deployment, console)
        if take_over.is_wanted and theirs:
            guarding.confirm_taking_over(deployment.stack, theirs, take_over.typed_name, console)
        else:
            guarding.refuse_foreign_volumes(deployment.stack, theirs, console)
        deployment = flow.open_deployment(folder, environment, write_secrets=True, for_server=True)
        if theirs:
            taken_volumes.add(folder, deployment.environment, deployment.stack.deployment_id, theirs)
            console.success(f"taken over: {', '.join(theirs)}")
        for warning in deployment.warnings:
            console.warning(warning)
        rendering = flow.render(deployment.stack)
        guarding.refuse_data_risk_of(facts_of(rendering), place)
        files = compare(deployment, rendering)
        is_first = Releases(folder, deployment.environment).current() is None
        if (is_first or files.difference) and not skip_checks:
            _check_first(deployment, console, is_first=is_first)
        for path in files.edited:
            console.warning(f"{deployment.rendered_folder / path} was edited by hand; the edit is lost")
        write(deployment, rendering)
        deployer = Deployer(place, console, descriptor)
        certificates = Certificates(deployer.docker, deployer.facts, console)
        release = deployer.up(UpOptions(deployment.source_folder, build, no_cache))
        units.install(place, deployer.facts, console)
        if release is None:
            console.success(f"nothing to do: {deployer.facts.base_url} runs what moorage.yaml says")
        else:
            console.success(f"release {release.id} serves {deployer.facts.base_url}")
        status = certificates.status(is_new=release is not None)
        if console.as_json:
            _report_release(console, deployer, changed=release is not None, has_certificate=status == 0)
        return status


def _report_release(console: Console, deployer: Deployer, *, changed: bool, has_certificate: bool) -> None:
    current = deployer.releases.current()
    console.data(
        {
            "ok": has_certificate,
            "changed": changed,
            "release": current.id if current else None,
            "url": deployer.facts.base_url,
            "has_certificate": has_certificate,
            "images": dict(current.images) if current else {},
        }
    )


def _check_first(deployment: flow.Deployment, console: Console, *, is_first: bool) -> None:
    blocking = blocking_findings(deployment, console, is_first=is_first)
    if blocking:
        for finding in blocking:
            console.failure(f"{finding.check}: {finding.text}")
            if finding.fix:
                console.detail(f"→ {finding.fix}")
        raise MoorageError(
            "this server can't run the stack as it is; nothing was changed",
            "mend what is above, or `moorage up --skip-checks` if you know better",
        )


def rollback(folder: Path, environment: str, console: Console, *, to: str, confirm: Confirm, dry_run: bool) -> int:
    """Go back to an earlier release; gives the exit status."""
    releases = Releases(folder, environment)
    current = releases.current()
    target = releases.named(to) if to else releases.before_current()
    if current is None or target is None:
        raise MoorageError("there is no earlier release to go back to", "`moorage status` lists the releases")
    if target.id == current.id:
        raise MoorageError(f"release {target.id} serves already")
    console.action(f"going from release {current.id} back to {target.id}")
    console.detail(
        "containers, images, configuration and routes go back; the database stays as it is, migrations included"
    )
    if dry_run or not confirm(f"Go back to release {target.id}?"):
        return 0
    with deployment_lock(folder, environment, console) as descriptor:
        exchange_mark.refuse(Place(folder, environment))
        _refuse_what_nobody_confirmed(releases, current)
        deployer = Deployer(Place(folder, environment), console, descriptor)
        deployer.go_back(target, current)
        # The timers are those of the release: one whose script is gone would fail every night.
        units.install(deployer.place, deployer.facts, console)
        console.success(f"release {target.id} serves {deployer.facts.base_url}")
        console.detail(
            "moorage.yaml still says something newer: `moorage plan` shows it, `moorage up` goes forward again"
        )
        if console.as_json:
            _report_release(console, deployer, changed=True, has_certificate=True)
    return 0


def _refuse_what_nobody_confirmed(releases: Releases, seen: Release) -> None:
    """While one operator thought about the question, another may have deployed."""
    current = releases.current()
    if current is None or current.id != seen.id:
        raise MoorageError(
            f"another run changed what serves: it is release {current.id if current else 'unknown'} now, no more {seen.id}",
            "`moorage status` shows it; then decide again",
        )


def down(folder: Path, environment: str, console: Console, *, dry_run: bool) -> None:
    """Stop and remove the containers; data stays."""
    place = Place(folder, environment)
    facts = load_facts(place.rendered)
    docker = Docker(facts.project, place.compose, console)
    running = [item for item in docker.containers() if item.is_running]
    if dry_run:
        for item in running:
            console.line(f"- {item.name}")
        _tell_what_goes_on(docker, facts, console)
        return
    with deployment_lock(folder, environment, console) as descriptor:
        docker = Docker(facts.project, place.compose, console, descriptor)
        with console.waiting("containers finish and go", 300):
            docker.compose(*_EVERYTHING, "down", "--remove-orphans")
        # The marker of a broken rolling update stays: its routes are in a volume, and the next `up` takes them away.
        _tell_what_goes_on(docker, facts, console)
    console.success(f"{facts.project} is down; volumes, secrets and files stay. `moorage up` brings it back")


def _tell_what_goes_on(docker: Docker, facts: StackFacts, console: Console) -> None:
    """The containers of the app's users are not ours to stop; but who wants a quiet server must know of them."""
    found = created.find(docker, facts)
    if found.running:
        console.warning(f"still running: {plural(len(found.running), 'container')} that the app created")
        console.detail(f"→ `{printable(['docker', 'stop', *found.running])}` stops them too")


def uninstall(
    folder: Path, environment: str, console: Console, *, purge: bool, typed_name: str, confirm: Confirm, dry_run: bool
) -> int:
    """Remove what runs; with `purge` also what was kept. Gives the exit status."""
    place = Place(folder, environment)
    facts = load_facts(place.rendered)
    gone = ["containers and networks", "systemd units", "images of old releases"]
    kept = ["volumes", "secrets", "moorage.yaml"]
    by_app = created.find(Docker(facts.project, place.compose, console), facts)
    gone += [by_app.described()] if by_app.containers else []
    if purge:
        volumes = (*facts.volumes, *_work_volumes(facts), *by_app.volumes)
        gone += [f"volume {name}" for name in volumes] + ["secrets", "releases", "rendered files"]
        # What somebody else made is not ours to delete; Compose leaves it as well.
        kept = ["moorage.yaml", *(f"the external volume {name}" for name in facts.external_volumes)]
        kept += _kept_backups(folder, facts)
        kept.append("the recovery key: backups can't be read without it")
    console.action(f"removing: {', '.join(gone)}")
    console.detail(f"staying: {', '.join(kept)}")
    if dry_run:
        return 0
    if purge:
        _require_name(facts.project, typed_name, console)
    elif not confirm(f"Uninstall {facts.project}?"):
        return 1
    with deployment_lock(folder, environment, console) as descriptor:
        docker = Docker(facts.project, place.compose, console, descriptor)
        units.remove(facts, console)
        docker.compose(*_EVERYTHING, "down", "--remove-orphans")
        by_app = created.find(docker, facts)
        created.remove(docker, by_app, purge=purge)
        if purge:
            _delete_volumes(docker, facts, by_app)
        images.forget_all_but(docker, facts.project, ())
        job_image.tidy(docker, facts.project)
        if purge:
            for place_gone in (folder / "releases" / environment, folder / "secrets" / environment, place.rendered):
                shutil.rmtree(place_gone, ignore_errors=True)
    console.success(
        f"{facts.project} is uninstalled" + ("" if purge else "; `moorage up` brings it back with its data")
    )
    return 0


def _delete_volumes(docker: Docker, facts: StackFacts, by_app: created.Created) -> None:
    """All data. Raises MoorageError when some is still there; the secrets that open it are kept then."""
    docker.compose(*_EVERYTHING, "down", "--volumes")
    # It holds dumps, and stays when backups were turned off.
    for name in docker.volumes(_work_volumes(facts)):
        docker.docker("volume", "rm", name, check=False)
    left = sorted(docker.volumes((*facts.volumes, *_work_volumes(facts), *by_app.volumes)))
    if left:
        users = printable(["docker", "ps", "--all", "--filter", f"volume={left[0]}"])
        raise MoorageError(
            f"not deleted, because a container still uses it: {', '.join(left)}; secrets and releases stay",
            f"`{users}` names the container; remove it, then the same command again",
        )


def _work_volumes(facts: StackFacts) -> tuple[str, ...]:
    return (f"{facts.project}_{WORK_VOLUME}",)


def _kept_backups(folder: Path, facts: StackFacts) -> list[str]:
    """The stores that are folders of this host; nobody deletes backups by removing what they were made of."""
    if facts.backups is None:
        return []
    own = [str(folder.resolve() / facts.backups.default_folder)] if facts.backups.default_folder else []
    return [f"the backups in {place}" for place in (*own, *facts.backups.directories)]


def _require_name(project: str, typed_name: str, console: Console) -> None:
    if not typed_name and console.is_interactive():
        typed_name = console.ask(f"All data of {project} will be deleted for ever. Type its name to go on:")
    if typed_name != project:
        raise MoorageError(
            f"--purge deletes all data of {project}; its name was not typed",
            f"moorage uninstall --purge --name {project}",
        )
