"""`moorage up`, `rollback`, `down`, `uninstall` for a cluster."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from moorage import flow
from moorage.app.notices import for_people
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.cluster import checking
from moorage.operations.cluster.opening import ContextChoice, open_cluster
from moorage.operations.cluster.planning import rendered_objects
from moorage.operations.rendering import compare, refuse_other_version, write
from moorage.targets.cluster import ending, exchange, images, kustomize, minikube
from moorage.targets.cluster.deploy import ClusterDeployer
from moorage.targets.cluster.lease import Lease
from moorage.targets.cluster.place import Place, load_facts, manifests
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.lock import deployment_lock
from moorage.targets.releases import Release, Releases
from moorage.words import listed

Confirm = Callable[[str], bool]


def up(
    folder: Path,
    environment: str,
    console: Console,
    choice: ContextChoice,
    *,
    build: bool,
    no_cache: bool,
    skip_checks: bool,
    take_over: bool,
    typed_name: str,
) -> int:
    """Check, render, deploy, record; gives the exit status."""
    deployment = flow.open_deployment(folder, environment, may_lack_secrets=True)
    _refuse_lacking(deployment)
    refuse_other_version(deployment.rendered_folder)
    kustomize.program()
    for notice in for_people(deployment.stack.notices, with_minor=console.verbose):
        console.detail(f"note: {notice.subject}: {notice.text}")
    with deployment_lock(folder, deployment.environment, console) as lock, ExitStack() as held:
        # Before a secret is made: which cluster, and whether it can be spoken to.
        facts = flow.cluster_facts_of_stack(deployment.stack)
        images.refuse_unpushed(facts)
        if facts.minikube is not None:
            minikube.ensure(facts.minikube, console)
        cluster = open_cluster(facts, choice, console)
        if take_over:
            _require_name(facts, typed_name, "--take-over-volumes", "up --take-over-volumes", console)
        lease = held.enter_context(Lease(cluster, facts, console, lock))
        exchange.refuse(cluster, facts)
        deployment = flow.open_deployment(folder, environment, write_secrets=True)
        for warning in deployment.warnings:
            console.warning(warning)
        facts, rendering = flow.cluster_facts_of_stack(deployment.stack), flow.render(deployment.stack)
        files = compare(deployment, rendering)
        releases = Releases(folder, deployment.environment)
        if (releases.current() is None or files.difference) and not skip_checks:
            checking.check_first(cluster, facts, rendered_objects(facts, rendering, folder), console)
        for path in files.edited:
            console.warning(f"{deployment.rendered_folder / path} was edited by hand; the edit is lost")
        write(deployment, rendering)
        place = Place(folder, deployment.environment)
        made = images.LocalImages(place, deployment.source_folder, console, build=build, no_cache=no_cache)
        deployer = ClusterDeployer(place, cluster, made, console)
        # The first time there was no namespace before.
        release = deployer.up(lease.take, take_over=take_over)
        if release is None:
            console.success(f"nothing to do: {cluster.context.name} runs what moorage.yaml says")
        else:
            console.success(f"release {release.id} serves {deployer.facts.base_url} in {cluster.context.name}")
        if console.as_json:
            _report_release(console, deployer, cluster.context.name, changed=release is not None)
    return 0


def _refuse_lacking(deployment: flow.Deployment) -> None:
    lacking = deployment.lacking_secrets
    if lacking:
        raise MoorageError(
            f"no value yet for {listed(lacking, 'and')}; nothing was changed",
            f"`moorage secrets set {lacking[0]} -e {deployment.environment}`",
        )


def _report_release(console: Console, deployer: ClusterDeployer, context: str, *, changed: bool) -> None:
    current = deployer.releases.current()
    console.data(
        {
            "ok": True,
            "changed": changed,
            "release": current.id if current else None,
            "url": deployer.facts.base_url,
            "context": context,
            "namespace": deployer.facts.namespace,
            "images": dict(current.images) if current else {},
        }
    )


def rollback(
    folder: Path, environment: str, console: Console, choice: ContextChoice, *, to: str, confirm: Confirm, dry_run: bool
) -> int:
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
        "workloads, images, configuration, secrets and routes go back; the database stays as it is, migrations included, "
        "and so do disks"
    )
    if dry_run or not confirm(f"Go back to release {target.id}?"):
        return 0
    place = Place(folder, environment)
    with deployment_lock(folder, environment, console) as lock, ExitStack() as held:
        _refuse_what_nobody_confirmed(releases, current)
        cluster = open_cluster(load_facts(place.rendered), choice, console)
        deployer = ClusterDeployer(place, cluster, images.LocalImages(place, folder, console), console)
        held.enter_context(Lease(cluster, deployer.facts, console, lock))
        exchange.refuse(cluster, deployer.facts)
        deployer.go_back(target, current)
        console.success(f"release {target.id} serves {deployer.facts.base_url}")
        console.detail(
            "moorage.yaml still says something newer: `moorage plan` shows it, `moorage up` goes forward again"
        )
        if console.as_json:
            _report_release(console, deployer, cluster.context.name, changed=True)
    return 0


def _refuse_what_nobody_confirmed(releases: Releases, seen: Release) -> None:
    """While one operator thought about the question, another may have deployed."""
    current = releases.current()
    if current is None or current.id != seen.id:
        raise MoorageError(
            f"another run changed what serves: it is release {current.id if current else 'unknown'} now, no more {seen.id}",
            "`moorage status` shows it; then decide again",
        )


def down(folder: Path, environment: str, console: Console, choice: ContextChoice, *, dry_run: bool) -> None:
    """Let no pod run; data stays."""
    place = Place(folder, environment)
    rendered, builds = _what_serves(place)
    facts = load_facts(rendered)
    cluster = open_cluster(facts, choice, console)
    if dry_run:
        for name in ending.running(cluster, facts):
            console.line(f"- {name}")
        return
    with deployment_lock(folder, environment, console) as lock, Lease(cluster, facts, console, lock):
        ending.rest(cluster, facts, manifests(rendered, facts, builds), console)
    console.success(
        f"{facts.project} is down in {cluster.context.name}; disks, secrets and files stay. `moorage up` brings it back"
    )


def _what_serves(place: Place) -> tuple[Path, Mapping[str, str]]:
    """The rendered folder and the builds of the release that serves; the present folder before the first."""
    current = Releases(place.folder, place.environment).current()
    return (current.rendered, current.images) if current is not None else (place.rendered, {})


def uninstall(
    folder: Path,
    environment: str,
    console: Console,
    choice: ContextChoice,
    *,
    purge: bool,
    typed_name: str,
    confirm: Confirm,
    dry_run: bool,
) -> int:
    """Remove what runs; with `purge` also what was kept. Gives the exit status."""
    place = Place(folder, environment)
    facts = load_facts(place.rendered)
    cluster = open_cluster(facts, choice, console)
    disks = ending.disks(cluster, facts)
    gone = [f"everything that moorage applied in {facts.namespace} of {cluster.context.name}"]
    on_nodes = [component.keeps for component in facts.components if component.keeps]
    kept = [*(f"the namespace {name}" for name in facts.namespaces), *(f"the disk {name}" for name in disks)]
    kept += ["secrets here", "moorage.yaml", *on_nodes]
    if purge:
        gone = [f"the namespace {facts.namespace} of {cluster.context.name} with all in it"]
        gone += [f"the disk {name}" for name in disks]
        gone += [f"{item['kind']} {item['metadata']['name']}" for item in ending.outside(cluster, facts)]
        gone += ["secrets here", "releases", "rendered files"]
        kept = [
            "moorage.yaml",
            "volumes that a storage class retains",
            *on_nodes,
            "the recovery key: backups can't be read without it",
        ]
    console.action(f"removing: {', '.join(gone)}")
    console.detail(f"staying: {', '.join(kept)}")
    if dry_run:
        return 0
    if purge:
        _require_name(facts, typed_name, "--purge", "uninstall --purge", console)
    elif not confirm(f"Uninstall {facts.project}?"):
        return 1
    with deployment_lock(folder, environment, console) as lock, Lease(cluster, facts, console, lock):
        if purge:
            ending.purge(cluster, facts, console)
            for gone_place in (folder / "releases" / environment, folder / "secrets" / environment, place.rendered):
                shutil.rmtree(gone_place, ignore_errors=True)
        else:
            ending.remove(cluster, facts, console)
    console.success(
        f"{facts.project} is uninstalled" + ("" if purge else "; `moorage up` brings it back with its data")
    )
    return 0


def _require_name(facts: ClusterFacts, typed_name: str, option: str, command: str, console: Console) -> None:
    if not typed_name and console.is_interactive():
        what = "All data will be deleted for ever" if option == "--purge" else "Its data is taken over"
        typed_name = console.ask(f"{what}: {facts.project}. Type its name to go on:")
    if typed_name != facts.project:
        raise MoorageError(
            f"{option} is for {facts.project} with all its data; its name was not typed",
            f"moorage {command} --name {facts.project}",
        )
