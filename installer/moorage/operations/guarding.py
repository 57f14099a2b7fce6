"""What `up` never does, with or without checks: touch the data or the containers of somebody else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moorage import flow
from moorage.checks.volumes import explained, foreign
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.process import printable
from moorage.stack.model import Stack
from moorage.targets.compose import taken_volumes
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.fact_sheet import volume_names
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.names import LABEL_DEPLOYMENT
from moorage.targets.compose.place import Place, previous_facts, refuse_data_risk
from moorage.targets.releases import Releases


def foreign_volumes(deployment: flow.Deployment, console: Console) -> dict[str, str]:
    """Volume → owner of those that `up` would use and that are not this deployment's, nor taken over."""
    stack = deployment.stack
    docker = Docker(stack.project, Place(deployment.folder, deployment.environment).compose, console)
    labels = docker.volumes(volume_names(stack))
    owners = {name: found.get(LABEL_DEPLOYMENT, "") for name, found in labels.items()}
    taken = taken_volumes.read(deployment.folder, deployment.environment, stack.deployment_id)
    return foreign(owners, stack.deployment_id, stack.project, taken)


def refuse_foreign_volumes(stack: Stack, volumes: Mapping[str, str], console: Console) -> None:
    """Raise MoorageError when there are some."""
    if not volumes:
        return
    for name, owner in volumes.items():
        text, fix = explained(name, owner, stack.deployment_id)
        console.failure(f"volumes: {text}")
        console.detail(f"→ {fix}")
    raise MoorageError(
        "the data of somebody else would be used; nothing was changed",
        "is it yours, and only the secrets were lost? `moorage up --take-over-volumes`",
    )


def confirm_taking_over(stack: Stack, volumes: Mapping[str, str], typed_name: str, console: Console) -> None:
    """Let the operator type the deployment's name. Raises MoorageError when it was not typed."""
    names = ", ".join(volumes)
    if not typed_name and console.is_interactive():
        typed_name = console.ask(f"{stack.project} takes over {names}, with all data. Type its name to go on:")
    if typed_name != stack.project:
        raise MoorageError(
            f"--take-over-volumes makes {names} volumes of {stack.project}; its name was not typed",
            f"moorage up --take-over-volumes --name {stack.project}",
        )


def refuse_foreign_containers(stack: Stack, place: Place, console: Console) -> None:
    """Raise MoorageError for containers of a Compose project of the same name: they would be taken for leftovers."""
    ours = {place.compose, place.compose.resolve()}
    for item in Docker(stack.project, place.compose, console).containers():
        if item.revision or not item.folder or Path(item.folder) in ours:
            continue
        raise MoorageError(
            f"the container {item.name} is of another Compose project that is called {stack.project} too, in {item.folder}; nothing was changed",
            f"choose another `name` in moorage.yaml, or end that one: `{printable(['docker', 'compose', '-p', stack.project, 'down'])}` there keeps its volumes",
        )


def refuse_data_risk_of(facts: StackFacts, place: Place) -> None:
    """Raise DeployError when this rendering would make existing data unreadable."""
    refuse_data_risk(
        facts, previous_facts(Releases(place.folder, place.environment)), "undo the change in moorage.yaml"
    )
