"""The backup job of a server and that of a cluster are one: what really starts it says so, not what we believe of it.

The real night.sh runs with a program called docker that writes down what it is asked; the real conductor makes its Jobs at an interface
that keeps them. The rest is read from the rendered files of the same deployment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.backups.conductor import Conductor
from tests.golden.test_golden import CASES, render_case

CASE_FOLDERS = {case.name: case for case in CASES}
_DOCKER = '#!/bin/sh\necho "$@" >> "$ASKED"\n'
# What a plan says of its own target; the way to any moment is on a server only.
_OWN_WORDS = {"deployment_id", "environment", "target", "physical"}


@dataclass
class Recorded:
    """The cluster, as far as a conductor asks it: every Job is made and ends well."""

    jobs: list[dict[str, Any]] = field(default_factory=list)

    def config_map(self, name: str) -> None:
        return None

    def active_jobs(self, label: str) -> list[str]:
        return []

    def create_job(self, job: dict[str, Any]) -> None:
        self.jobs.append(job)

    def job_end(self, name: str) -> Any:
        @dataclass
        class End:
            is_good: bool = True
            is_from_outside: bool = False
            reason: str = "Complete"

        return End()

    def exit_status(self, name: str) -> int:
        return 0

    def log(self, name: str, lines: int) -> str:
        return ""


@dataclass(frozen=True)
class Phase:
    """One start of the job: which of its services, with which arguments, and what it finds inside."""

    service: str
    arguments: tuple[str, ...]
    image: str
    mounts: frozenset[str]
    secrets: frozenset[str]


@dataclass(frozen=True)
class Side:
    """The nights of one environment."""

    phases: tuple[Phase, ...]
    plan: dict[str, Any]


@pytest.fixture(scope="module", params=[("notes", "minikube"), ("notes", "eks-beta"), ("notes-backups", "eks")])
def sides(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """A server and a cluster of one deployment."""
    case, cluster = request.param
    folder = tmp_path_factory.mktemp("deployment")
    for environment in ("compose", cluster):
        deployment, rendering = render_case(CASE_FOLDERS[case], folder, environment)
        rendering.private.write(deployment.private_folder)
        rendering.public.write(deployment.rendered_folder)
    return _of_server(folder), _of_cluster(folder, cluster)


def _of_server(folder: Path) -> Side:
    rendered = folder / "rendered" / "compose"
    (folder / "programs").mkdir()
    (folder / "programs" / "docker").write_text(_DOCKER)
    (folder / "programs" / "docker").chmod(0o755)
    variables = {**os.environ, "PATH": f"{folder / 'programs'}:{os.environ['PATH']}", "ASKED": str(folder / "asked")}
    script = rendered / "backups" / "night.sh"
    subprocess.run([shutil.which("sh") or "sh", str(script)], check=True, env=variables, capture_output=True)
    phases = []
    for line in (folder / "asked").read_text().splitlines():
        words = line.split()
        assert words[:3] == ["compose", "run", "--rm"]
        service = next(word for word in words if word.startswith("backup"))
        phases.append(_service(rendered, service, tuple(words[words.index(service) + 1 :])))
    return _side(phases, json.loads((rendered / "backups" / "plan.json").read_text()))


def _side(phases: list[Phase], plan: dict[str, Any]) -> Side:
    """Without the name of the project, which is each environment's own."""
    project = plan["project"]
    named = tuple(replace(phase, image=phase.image.replace(f"/{project}:", "/PROJECT:")) for phase in phases)
    text = json.dumps(plan).replace(f"/{project}:", "/PROJECT:").replace(f'"{project}"', '"PROJECT"')
    return Side(named, json.loads(text))


def _service(rendered: Path, name: str, arguments: tuple[str, ...]) -> Phase:
    compose = rendered / "compose"
    own = yaml.safe_load((compose / "compose.yaml").read_text())
    platform = yaml.safe_load((compose / "platform" / "backup.yaml").read_text())["services"][name]
    values = dict(line.split("=", 1) for line in (compose / ".env").read_text().splitlines() if "=" in line)
    variable = platform["image"].removeprefix("${").removesuffix("}")
    service = own["services"][name]
    mounted = {str(text).split(":")[1] for text in platform.get("volumes", [])}
    mounted |= {item["target"] for item in service.get("volumes", [])}
    secrets = {item["target"] for item in service.get("secrets", [])}
    return Phase(name, arguments, values[variable].strip('"'), frozenset(mounted), frozenset(secrets))


def _of_cluster(folder: Path, environment: str) -> Side:
    base = folder / "rendered" / environment / "k8s" / "base" / "files"
    recorded = Recorded()
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "night", "uid": "0a1b-2c"}
    assert Conductor(recorded, base / "backup-jobs", owner, "night").night() == 0  # type: ignore[arg-type]
    private = folder / "secrets" / environment / "k8s" / "backup-secrets.json"
    phases = [_job(item, json.loads(private.read_text())) for item in recorded.jobs]
    return _side(phases, json.loads((base / "backup-plan" / "plan.json").read_text()))


def _job(job: dict[str, Any], secret: dict[str, Any]) -> Phase:
    container = job["spec"]["template"]["spec"]["containers"][0]
    mounts = {item["mountPath"] for item in container["volumeMounts"]}
    mounts = {"/plan/plan.json" if path == "/plan" else path for path in mounts}
    has_secrets = "/run/secrets" in mounts
    names = frozenset(secret["data"]) if has_secrets else frozenset[str]()
    service = str(job["metadata"]["name"]).rpartition("-")[0].removesuffix(f"-{container['args'][0]}")
    return Phase(service, tuple(container["args"]), container["image"], frozenset(mounts), names)


def test_a_night_starts_the_same_phases_with_the_same_arguments(sides: tuple[Side, Side]) -> None:
    server, cluster = sides
    assert [(phase.service, phase.arguments) for phase in server.phases] == [
        (phase.service, phase.arguments) for phase in cluster.phases
    ]
    assert [phase.arguments[0] for phase in server.phases] == ["take", "drill", "conclude"]
    assert {phase.arguments[1:] for phase in server.phases} == {("--plan", "/plan/plan.json")}


def test_it_is_one_image(sides: tuple[Side, Side]) -> None:
    """On EKS the same name stands behind the registry's."""
    server, cluster = sides
    (image,) = {phase.image for phase in server.phases}
    assert all(phase.image.endswith(image) for phase in cluster.phases)
    assert len({phase.image for phase in cluster.phases}) == 1


def test_it_reads_secrets_and_disks_at_the_same_places(sides: tuple[Side, Side]) -> None:
    server, cluster = sides
    for here, there in zip(server.phases, cluster.phases, strict=True):
        assert here.secrets == there.secrets
        if here.service.endswith("drill"):
            assert not here.secrets
        needed = {
            path for path in here.mounts if path.startswith(("/plan", "/var/run", "/deployment", "/work", "/metrics"))
        }
        assert needed <= there.mounts
        stores = {path for path in here.mounts if path.startswith("/stores/")}
        assert stores == {path for path in there.mounts if path.startswith("/stores/")}


def test_it_follows_the_same_plan(sides: tuple[Side, Side]) -> None:
    server, cluster = sides
    for side in sides:
        for item in side.plan.get("volumes", []):
            phase = side.phases[0]
            assert any(item["path"] == path or item["path"].startswith(f"{path}/") for path in phase.mounts), item[
                "path"
            ]
    assert server.plan.keys() == cluster.plan.keys()
    for key in server.plan.keys() - _OWN_WORDS - {"database", "volumes"}:
        assert server.plan[key] == cluster.plan[key], key
    names = {item["name"] for item in cluster.plan["volumes"]}
    only_here = {item["name"] for item in server.plan["volumes"]} - names
    assert all(name.startswith("edge") for name in only_here), "a server's own certificates, and nothing else"
