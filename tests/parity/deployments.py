"""Golden cases as whole deployment folders, every environment rendered, for `moorage parity` to read."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path

from moorage import flow
from moorage.console import Console
from moorage.operations import comparing
from moorage.parity.rendered import Rendered
from moorage.process import run
from tests.golden.test_golden import CASES, render_case

CASE_FOLDERS = {case.name: case for case in CASES}


@cache
def kustomize() -> str:
    """The real program, from the tests' own cache; empty where it can't be had."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "machine"))
    import tools
    from rig import RigError

    try:
        return str(tools.fetch("kustomize"))
    except RigError:
        return ""


def build(folder: Path) -> str:
    """`kustomize build` of a folder."""
    return run([kustomize(), "build", str(folder)]).output


# The foreign file on EKS as well: what only clusters have needs another cluster to be held against.
_MORE = {"bring-your-own": "  eks: {}\n"}


def _with_more(name: str, folder: Path) -> Path:
    case = folder.parent / f"{folder.name}-case"
    shutil.copytree(CASE_FOLDERS[name], case, ignore=shutil.ignore_patterns("expected"))
    with (case / "moorage.yaml").open("a", encoding="utf-8") as file:
        file.write(_MORE[name])
    return case


def write_case(name: str, folder: Path) -> tuple[str, ...]:
    """Render all environments of a golden case into `folder`, as `moorage render --all` does; gives their names."""
    environments: tuple[str, ...] = ()
    case = _with_more(name, folder) if name in _MORE else CASE_FOLDERS[name]
    for environment in flow.names_of_environments(case):
        deployment, rendering = render_case(case, folder, environment)
        rendering.private.write(deployment.private_folder)
        rendering.public.write(deployment.rendered_folder)
        environments += (environment,)
    return environments


def read_case(name: str, folder: Path) -> tuple[Rendered, ...]:
    """All environments of a golden case as parity reads them."""
    console = Console(quiet=True)
    return tuple(
        comparing.read_environment(folder, environment, console, build) for environment in write_case(name, folder)
    )
