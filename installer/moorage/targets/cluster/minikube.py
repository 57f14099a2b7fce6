"""minikube: the cluster on this machine, started as configured, and given the images that are built here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.process import installed, printable, run
from moorage.targets.k8s.facts import MinikubeFacts
from moorage.tree import File, write_file

_START_SECONDS = 1200.0
_LOAD_SECONDS = 1200.0
_MEBIBYTE = 1 << 20


def ensure(settings: MinikubeFacts, console: Console) -> None:
    """Start the profile unless it runs, and turn on its addons. Raises DeployError."""
    if not installed("minikube"):
        raise MoorageError("the program `minikube` is not installed", "https://minikube.sigs.k8s.io/docs/start/")
    if not is_running(settings):
        command = _start(settings)
        console.command(printable(command))
        with console.waiting(f"minikube starts the profile {settings.profile}", _START_SECONDS):
            _run(command, _START_SECONDS, f"minikube could not start the profile {settings.profile}")
        console.success(f"minikube runs ({settings.profile})")
    on = _addons(settings)
    for name in settings.addons:
        if name not in on:
            with console.waiting(f"minikube turns on {name}"):
                _run(
                    ["minikube", "-p", settings.profile, "addons", "enable", name],
                    _START_SECONDS,
                    f"minikube could not turn on {name}",
                )


def is_running(settings: MinikubeFacts) -> bool:
    """Whether the profile's machine and its API server run."""
    result = run(["minikube", "-p", settings.profile, "status", "-o", "json"], check=False, timeout_seconds=60)
    try:
        found = json.loads(result.output)
    except ValueError:
        return False
    # With several nodes it is a list, the first one has the API server.
    first = found[0] if isinstance(found, list) and found else found
    return isinstance(first, dict) and first.get("Host") == "Running" and first.get("APIServer") == "Running"


def _start(settings: MinikubeFacts) -> list[str]:
    command = ["minikube", "start", "-p", settings.profile, f"--driver={settings.driver}"]
    command.append(f"--kubernetes-version={settings.kubernetes_version}")
    command += [f"--memory={settings.memory // _MEBIBYTE}mb"] if settings.memory else []
    command += [f"--cpus={settings.cpus}"] if settings.cpus else []
    # The current context stays what it is: we never use it.
    command += ["--keep-context=true"]
    return [*command, *(f"--extra-config={text}" for text in settings.extra_config)]


def _addons(settings: MinikubeFacts) -> set[str]:
    result = run(["minikube", "-p", settings.profile, "addons", "list", "-o", "json"], check=False, timeout_seconds=60)
    try:
        return {name for name, item in json.loads(result.output).items() if item.get("Status") == "enabled"}
    except (ValueError, AttributeError):
        return set()


def load_images(settings: MinikubeFacts, ids: Mapping[str, str], memory: Path, console: Console) -> None:
    """Give the cluster the images that it lacks or has in another build. Raises DeployError.

    `ids` are those of this machine by name, empty where it has none. What was loaded is remembered in the file `memory`,
    because minikube lists names only.
    """
    listed = run(["minikube", "-p", settings.profile, "image", "ls"], check=False, timeout_seconds=120).output
    there = {line.strip().removeprefix("docker.io/").removeprefix("library/") for line in listed.splitlines()}
    loaded = remembered(memory)
    for name, image_id in ids.items():
        if name in there and (not image_id or loaded.get(name) == image_id):
            continue
        if not image_id:
            raise DeployError(
                f"the image {name} is neither on this machine nor in minikube; nothing was deployed",
                "`moorage up --build` makes a new one",
            )
        with console.waiting(f"{name} goes into minikube", _LOAD_SECONDS):
            command = ["minikube", "-p", settings.profile, "image", "load", "--daemon=true", name]
            _run(command, _LOAD_SECONDS, f"the image {name} could not be loaded into minikube")
        loaded[name] = image_id
        _remember(memory, loaded)


def forget_image(settings: MinikubeFacts, name: str, memory: Path) -> None:
    """Take an image out of the cluster and out of the file `memory`; what is in use stays in the cluster."""
    run(["minikube", "-p", settings.profile, "image", "rm", name], check=False, timeout_seconds=120)
    _remember(memory, {key: value for key, value in remembered(memory).items() if key != name})


def remembered(memory: Path) -> dict[str, str]:
    """Name → id of what was loaded; empty when that can't be read."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(memory: Path, loaded: Mapping[str, str]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_file(memory, File((json.dumps(loaded, indent=1, sort_keys=True) + "\n").encode()))


def _run(command: list[str], seconds: float, failed: str) -> None:
    try:
        run(command, timeout_seconds=seconds)
    except CommandFailed as error:
        lines = [line.strip() for line in error.output.splitlines() if line.strip()]
        raise DeployError(
            f"{failed}: {lines[-1] if lines else 'it gave no reason'}; nothing was deployed",
            f"`{printable(command)}` says more",
        ) from None
