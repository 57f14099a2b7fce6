"""Write what was rendered, and say what that changes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from moorage import __version__, flow
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets import private_files
from moorage.targets.base import Rendering
from moorage.tree import MANIFEST, Difference, edited_by_hand
from moorage.words import listed, plural


@dataclass(frozen=True)
class RenderResult:
    """What a render changed."""

    environment: str
    folder: Path
    difference: Difference
    private_difference: Difference
    edited: tuple[str, ...]

    def as_data(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "environment": self.environment,
            "folder": str(self.folder),
            "added": list(self.difference.added),
            "changed": list(self.difference.changed),
            "removed": list(self.difference.removed),
            "edited_by_hand": list(self.edited),
            "secret_files_changed": [*self.private_difference.added, *self.private_difference.changed],
        }


def write_rendering(folder: Path, environment: str, console: Console, *, dry_run: bool) -> RenderResult:
    """Render one environment into its folder; with `dry_run` only say what would change.

    One that lacks secrets which only the operator can give is rendered too: they are empty in its files, and `up` refuses.
    """
    deployment = flow.open_deployment(folder, environment, write_secrets=not dry_run, may_lack_secrets=True)
    for warning in deployment.warnings:
        console.warning(warning)
    rendering = flow.render(deployment.stack)
    lacking = deployment.lacking_secrets
    if lacking:
        console.warning(
            f"{deployment.environment}: no value yet for {listed(lacking, 'and')}; nothing can be deployed before"
        )
        console.detail(f"→ `moorage secrets set {lacking[0]} -e {deployment.environment}`")
    result = compare(deployment, rendering)
    for path in result.edited:
        console.warning(
            f"{deployment.rendered_folder / path} was edited by hand; the edit is {'going to be ' if dry_run else ''}lost"
        )
    if not dry_run:
        write(deployment, rendering)
    verb = "would be written" if dry_run else "written"
    total = len(result.difference.added) + len(result.difference.changed)
    console.success(
        f"{deployment.rendered_folder}: {plural(total, 'file')} {verb}, {len(result.difference.removed)} removed"
    )
    return result


def compare(deployment: flow.Deployment, rendering: Rendering) -> RenderResult:
    """What writing the rendering would change."""
    return RenderResult(
        deployment.environment,
        deployment.rendered_folder,
        rendering.public.compare(deployment.rendered_folder),
        rendering.private.compare(deployment.private_folder),
        edited_by_hand(deployment.rendered_folder),
    )


def write(deployment: flow.Deployment, rendering: Rendering) -> None:
    """Write both trees; the secret one first, so that no public file names a missing one."""
    private_files.write(rendering.private, deployment.private_folder)
    rendering.public.write(deployment.rendered_folder)


def refuse_other_version(folder: Path) -> None:
    """Raise MoorageError when the rendered folder is from another version of moorage."""
    import json

    try:
        written_by = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("moorage")
    except (FileNotFoundError, ValueError):
        return
    if written_by != __version__:
        raise MoorageError(
            f"{folder} was rendered by moorage {written_by}, this is {__version__}",
            "`moorage plan` shows what this version changes, `moorage render` accepts it",
        )


def text_difference(deployment: flow.Deployment, rendering: Rendering, difference: Difference) -> str:
    """The changed lines of the public files; they hold no secret."""
    parts: list[str] = []
    for path in sorted((*difference.added, *difference.changed, *difference.removed)):
        if path == MANIFEST:
            continue
        old_file, new_file = deployment.rendered_folder / path, rendering.public.files.get(path)
        old = old_file.read_text(encoding="utf-8", errors="replace") if old_file.is_file() else ""
        new = new_file.content.decode(errors="replace") if new_file else ""
        parts.extend(
            difflib.unified_diff(old.splitlines(), new.splitlines(), f"now/{path}", f"next/{path}", lineterm="", n=2)
        )
    return "\n".join(parts)
