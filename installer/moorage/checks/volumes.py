"""Volumes: the data that is there already must be this deployment's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from moorage.checks.asking import Engine, engine_silent
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.targets.compose.names import EDGE_ROUTES, LABEL_DEPLOYMENT

NAME = "volumes"


@dataclass(frozen=True)
class VolumeFacts:
    """Name → deployment of the volumes that exist (empty without the label); why that is not known."""

    owners: Mapping[str, str] = field(default_factory=dict)
    engine_answers: bool = True
    error: str = ""


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look whose the volumes are and judge."""
    return judge(gather((*needs.volumes, *needs.external_volumes), engine), needs)


def gather(names: Sequence[str], engine: Engine) -> VolumeFacts:
    """The labels of those volumes that exist."""
    if not engine.view().answers:
        return VolumeFacts(engine_answers=False)
    if not names:
        return VolumeFacts()
    answer = engine.ask("volume", "inspect", *names)
    try:
        found = json.loads(answer.output or "[]")
        owners = {item["Name"]: (item.get("Labels") or {}).get(LABEL_DEPLOYMENT, "") for item in found}
    except (ValueError, KeyError, TypeError, AttributeError):
        return VolumeFacts(error="`docker volume inspect` answers in an unknown form")
    # One name that does not exist is an error to Docker, although the others are shown.
    if not owners and answer.error and "no such volume" not in answer.error.lower():
        return VolumeFacts(error=answer.error)
    return VolumeFacts(owners)


def is_installed(facts: VolumeFacts, needs: Needs) -> bool:
    """Whether this very deployment has run here before."""
    return needs.deployment_id in facts.owners.values() or any(name in needs.taken_volumes for name in facts.owners)


def judge(facts: VolumeFacts, needs: Needs) -> tuple[Finding, ...]:
    """A line for every volume that is not ours, or one for all."""
    if not facts.engine_answers:
        return (engine_silent(NAME),)
    if facts.error:
        fix = f"`docker volume ls --filter name={needs.project}` must show nothing, or volumes of this deployment"
        return (warning(NAME, f"whose the volumes are is not known: {facts.error}", fix),)
    wrong = (*_foreign(facts, needs), *_missing(facts, needs))
    if wrong:
        return wrong
    count = len(set(facts.owners) - set(needs.external_volumes))
    return (ok(NAME, f"{count} of {len(needs.volumes)} exist, none of another deployment"),)


def _missing(facts: VolumeFacts, needs: Needs) -> Iterator[Finding]:
    for name in sorted(set(needs.external_volumes) - set(facts.owners)):
        fix = f"write its right name in the Compose file, or begin with an empty one: `docker volume create {name}`"
        yield failure(NAME, f"the external volume {name} does not exist", fix)


def _foreign(facts: VolumeFacts, needs: Needs) -> Iterator[Finding]:
    owners = {name: owner for name, owner in facts.owners.items() if name not in needs.external_volumes}
    for name, owner in foreign(owners, needs.deployment_id, needs.project, needs.taken_volumes).items():
        text, fix = explained(name, owner, needs.deployment_id)
        yield failure(NAME, text, fix, ("name",))


def foreign(owners: Mapping[str, str], deployment_id: str, project: str, taken: Mapping[str, str]) -> dict[str, str]:
    """Those of the volumes that are neither ours nor taken over from just that owner, sorted."""
    # The routes are written anew by every `up`: their volume has nothing to lose.
    return {
        name: owner
        for name, owner in sorted(owners.items())
        if owner != deployment_id and name != f"{project}_{EDGE_ROUTES}" and taken.get(name) != owner
    }


def explained(name: str, owner: str, deployment_id: str) -> tuple[str, str]:
    """Whose a volume is that is not ours, and the ways out."""
    if owner:
        text = f"{name} belongs to another deployment ({owner}, this one is {deployment_id})"
        way = (
            "put that deployment's `secrets/` folder back here, or choose another `name`; "
            "if it is this one and its secrets are lost for good: `moorage up --take-over-volumes`"
        )
    else:
        text = f"{name} exists and belongs to no deployment of moorage"
        way = f"to use its data, write `external: true` and `name: {name}` at that volume of the Compose file; else choose another `name`"
    return text, f"{way}; only if its data is rubbish: `docker volume rm {name}`"
