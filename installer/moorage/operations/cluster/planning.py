"""`moorage plan` for a cluster: files, objects, what rolls, jobs, risk; nothing is changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage import flow
from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.operations.cluster.opening import ContextChoice, open_cluster
from moorage.operations.rendering import RenderResult, compare, text_difference
from moorage.targets import private_files
from moorage.targets.base import Rendering
from moorage.targets.cluster import images, inventory, place
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.disks import fitted
from moorage.targets.cluster.objects import Object
from moorage.targets.cluster.preview import Change, Preview, look
from moorage.targets.k8s.facts import ClusterFacts
from moorage.words import plural

_SIGNS = {"create": "+", "change": "±", "delete": "-", "keep": "!"}
_SHOWN_FIELDS = 6


@dataclass(frozen=True)
class ClusterPlan:
    """What `up` would do; `why_not` says why the cluster itself was not asked, `refusal` why `up` would not begin."""

    files: RenderResult
    preview: Preview | None
    rolls: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    why_not: str = ""
    refusal: str = ""

    @property
    def has_changes(self) -> bool:
        """Whether `up` would do anything."""
        objects = self.preview is not None and any(change.action != "keep" for change in self.preview.changes)
        return bool(self.files.difference or self.files.private_difference or objects or self.refusal)


def plan(deployment: flow.Deployment, console: Console, choice: ContextChoice, *, show_diff: bool) -> int:
    """Show the plan; gives 0 for nothing to do, 2 for changes, 1 when `up` would refuse."""
    rendering = flow.render(deployment.stack)
    files = compare(deployment, rendering)
    found = _found(deployment, rendering, files, choice, console)
    if console.as_json:
        console.data(_as_data(found))
    else:
        _show(deployment, rendering, found, console, show_diff=show_diff)
    if found.refusal:
        return 1
    return 2 if found.has_changes else 0


def _found(
    deployment: flow.Deployment, rendering: Rendering, files: RenderResult, choice: ContextChoice, console: Console
) -> ClusterPlan:
    facts = flow.cluster_facts_of_stack(deployment.stack)
    try:
        cluster = open_cluster(facts, choice, console)
    except MoorageError as error:
        hint = f" → {error.hint}" if error.hint else ""
        return ClusterPlan(files, None, why_not=f"{error.message}{hint}")
    try:
        preview = _preview(cluster, facts, rendering, deployment.folder, console)
    except DeployError as error:
        hint = f" → {error.hint}" if error.hint else ""
        return ClusterPlan(files, None, refusal=f"{error.message}{hint}")
    return ClusterPlan(files, preview, _rolls(preview), _jobs(facts, preview))


def _preview(cluster: Cluster, facts: ClusterFacts, rendering: Rendering, folder: Path, console: Console) -> Preview:
    """The server's answer to a rendering that is written nowhere yet."""
    wanted = fitted(cluster, rendered_objects(facts, rendering, folder), lambda what, _: console.warning(what))
    return look(cluster, facts, wanted, inventory.read(cluster, facts))


def rendered_objects(facts: ClusterFacts, rendering: Rendering, folder: Path) -> list[Object]:
    """Every object of a rendering that is written nowhere yet. Raises MoorageError."""
    # Killed in the middle it leaves secrets: then where secrets are.
    closed = folder / "secrets"
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=closed if closed.is_dir() else None) as name:
        public, private = Path(name) / "public", Path(name) / "private"
        rendering.public.write(public)
        private_files.write(rendering.private, private)
        return place.wanted_objects(public, private, facts, images.names_by_content(facts))


def _rolls(preview: Preview) -> tuple[str, ...]:
    return tuple(change.identity.name for change in preview.changes if change.rolls)


def _jobs(facts: ClusterFacts, preview: Preview) -> tuple[str, ...]:
    made = {change.identity.name for change in preview.by_action("create") if change.identity.kind == "Job"}
    return tuple(job.name for job in facts.jobs if job.object_name in made)


def _as_data(found: ClusterPlan) -> dict[str, Any]:
    changes = found.preview.changes if found.preview else ()
    return {
        "changes": found.has_changes,
        "files": found.files.as_data(),
        "reachable": found.preview is not None or bool(found.refusal),
        "why_not": found.why_not,
        "refusal": found.refusal,
        "objects": [
            {
                "kind": item.identity.kind,
                "namespace": item.identity.namespace,
                "name": item.identity.name,
                "action": item.action,
                "fields": list(item.fields),
            }
            for item in changes
        ],
        "rolls": list(found.rolls),
        "jobs": list(found.jobs),
        "risk": "data" if found.preview and found.preview.risks else "none",
        "risk_reasons": list(found.preview.risks) if found.preview else [],
    }


def _show(
    deployment: flow.Deployment, rendering: Rendering, found: ClusterPlan, console: Console, *, show_diff: bool
) -> None:
    for path in found.files.edited:
        console.warning(f"{found.files.folder / path} was edited by hand; the edit would be lost")
    if found.why_not:
        console.warning(f"the cluster was not asked, only files are compared: {found.why_not}")
    if found.refusal:
        console.failure(f"`up` would refuse this: {found.refusal}")
        return
    if not found.has_changes:
        if found.preview is not None:
            console.success("nothing to do: what runs is what moorage.yaml says")
        else:
            console.success("nothing to do: the files are what moorage.yaml says")
        return
    difference = found.files.difference
    for sign, paths in (("+", difference.added), ("±", difference.changed), ("-", difference.removed)):
        if paths:
            console.line(f"{sign} {plural(len(paths), 'file')} in {found.files.folder}")
    if show_diff:
        console.line(text_difference(deployment, rendering, difference))
    if found.preview is not None:
        for change in found.preview.changes:
            console.line(_line(change))
        for namespace in found.preview.missing_namespaces:
            console.line(
                f"  (the namespace {namespace} does not exist yet: the server could not try what goes into it)"
            )
        for name in found.jobs:
            console.line(f"+ job {name} runs before the rollout")
        console.line(f"pods are replaced: {', '.join(found.rolls) or 'none'}")
        console.line(f"risk: {'DATA AT RISK: `up` refuses this' if found.preview.risks else 'none'}")
        for reason in found.preview.risks:
            console.failure(reason)


def _line(change: Change) -> str:
    name = change.identity
    if change.action == "keep":
        return f"! {name.kind} {name.name}: not wanted any more; it stays, for it may hold data"
    if change.action != "change":
        return f"{_SIGNS[change.action]} {name.kind} {name.name}: {change.action}"
    more = len(change.fields) - _SHOWN_FIELDS
    fields = ", ".join(change.fields[:_SHOWN_FIELDS]) + (f" and {more} more" if more > 0 else "")
    return f"± {name.kind} {name.name}: {fields}"
