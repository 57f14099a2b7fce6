"""`moorage plan`: files, containers, downtime, risk; nothing is changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from moorage import flow
from moorage.console import Console
from moorage.operations.rendering import RenderResult, compare, text_difference
from moorage.targets.base import Rendering
from moorage.targets.compose import job_image
from moorage.targets.compose.docker import Docker, engine_version
from moorage.targets.compose.facts import StackFacts, read_facts
from moorage.targets.compose.names import FACTS_FILE
from moorage.targets.compose.place import Place, previous_facts
from moorage.targets.compose.plan import ContainerPlan, plan_containers
from moorage.targets.releases import Releases
from moorage.words import plural

_SIGNS = {"create": "+", "recreate": "±", "roll": "±", "start": "+", "scale": "±", "remove": "-", "publish": "±"}
_RISKS = {
    "none": "none",
    "restart": "none for data; a database or queue restarts",
    "data": "DATA AT RISK: `up` refuses this",
}


def plan(deployment: flow.Deployment, console: Console, *, show_diff: bool) -> int:
    """Show the plan; gives 0 for nothing to do, 2 for changes."""
    rendering = flow.render(deployment.stack)
    files = compare(deployment, rendering)
    engine_version()
    containers = container_plan(deployment, rendering, console)
    if console.as_json:
        console.data(_as_data(files, containers))
    else:
        _show(deployment, rendering, files, containers, console, show_diff=show_diff)
    return 2 if has_changes(files, containers) else 0


def has_changes(files: RenderResult, containers: ContainerPlan) -> bool:
    """Whether `up` would do anything, an image that is gone included."""
    return bool(files.difference or files.private_difference or containers)


def container_plan(deployment: flow.Deployment, rendering: Rendering, console: Console) -> ContainerPlan:
    """What a deployment of this rendering would do to the containers."""
    facts = facts_of(rendering)
    place = Place(deployment.folder, deployment.environment)
    docker = Docker(facts.project, place.compose, console)
    to_build = job_image.outdated(docker, facts.backups)
    found = plan_containers(
        facts,
        docker.containers(),
        # What will be built anew has no id yet; a container of the old one is replaced.
        {**docker.image_ids(facts.image_references), **dict.fromkeys(to_build, "")},
        docker.volumes(facts.volumes),
        previous_facts(Releases(deployment.folder, deployment.environment)),
        docker.networks(list(facts.network_names)),
    )
    return replace(found, missing_images=tuple(dict.fromkeys((*found.missing_images, *to_build))))


def facts_of(rendering: Rendering) -> StackFacts:
    """The facts inside a rendering that is not written yet."""
    return read_facts(json.loads(rendering.public.files[FACTS_FILE].content))


def _as_data(files: RenderResult, containers: ContainerPlan) -> dict[str, Any]:
    return {
        "changes": has_changes(files, containers),
        "files": files.as_data(),
        "containers": [
            {"service": item.service, "action": item.action, "why": item.why, "downtime": item.downtime}
            for item in containers.changes
        ],
        "missing_images": list(containers.missing_images),
        "new_volumes": list(containers.new_volumes),
        "risk": containers.risk,
        "risk_reasons": list(containers.risk_reasons),
    }


def _show(
    deployment: flow.Deployment,
    rendering: Rendering,
    files: RenderResult,
    containers: ContainerPlan,
    console: Console,
    *,
    show_diff: bool,
) -> None:
    for path in files.edited:
        console.warning(f"{files.folder / path} was edited by hand; the edit would be lost")
    if not has_changes(files, containers):
        console.success("nothing to do: what runs is what moorage.yaml says")
        return
    _show_files(files, console)
    if show_diff:
        console.line(text_difference(deployment, rendering, files.difference))
    for item in containers.changes:
        downtime = "" if item.downtime == "none" else f" — {item.downtime}"
        console.line(f"{_SIGNS[item.action]} {item.service}: {item.action}, {item.why}{downtime}")
    for reference in containers.missing_images:
        console.line(f"+ image {reference}: is pulled or built before anything stops")
    _show_schedule(deployment, rendering, console)
    for name in containers.new_volumes:
        console.line(f"+ volume {name}")
    pauses = [
        item.service
        for item in containers.changes
        if item.downtime not in ("none",) and not item.downtime.startswith("none")
    ]
    console.line(f"downtime: {'none' if not pauses else ', '.join(pauses) + ' (see above)'}")
    console.line(f"risk: {_RISKS[containers.risk]}")
    for reason in containers.risk_reasons:
        console.failure(reason)


def _show_schedule(deployment: flow.Deployment, rendering: Rendering, console: Console) -> None:
    """When backups are made, if that changes."""
    previous = previous_facts(Releases(deployment.folder, deployment.environment))
    before, after = previous.backups if previous else None, facts_of(rendering).backups
    if after is None and before is not None:
        console.line(f"- backups: no more nights ({before.schedule}); what is in the stores stays")
    elif after is not None and (before is None or before.schedule != after.schedule):
        was = f", not {before.schedule} any more" if before else ""
        console.line(f"{'±' if before else '+'} backups: a night at {after.schedule}{was}")


def _show_files(files: RenderResult, console: Console) -> None:
    for sign, paths in (
        ("+", files.difference.added),
        ("±", files.difference.changed),
        ("-", files.difference.removed),
    ):
        if len(paths) > 12:
            console.line(f"{sign} {plural(len(paths), 'file')} in {files.folder}")
            continue
        for path in paths:
            console.line(f"{sign} {files.folder / path}")
    secret = [*files.private_difference.added, *files.private_difference.changed, *files.private_difference.removed]
    shown = [path for path in secret if path != "manifest.json"]
    if shown:
        console.line(f"± secret files, contents not shown: {', '.join(sorted(shown))}")
