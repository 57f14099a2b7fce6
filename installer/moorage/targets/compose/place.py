"""Where a deployment's files are, and what is written in them of what is wanted and of what serves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from moorage.errors import DeployError, MoorageError
from moorage.targets.compose.facts import StackFacts, read_facts
from moorage.targets.compose.names import COMPOSE_FOLDER, FACTS_FILE
from moorage.targets.compose.plan import data_risks
from moorage.targets.releases import Release, Releases, read_tree
from moorage.tree import Tree


@dataclass(frozen=True)
class Place:
    """Where a deployment's files are."""

    folder: Path
    environment: str

    @property
    def rendered(self) -> Path:
        """`rendered/<environment>/`."""
        return self.folder / "rendered" / self.environment

    @property
    def private(self) -> Path:
        """`secrets/<environment>/compose/`."""
        return self.folder / "secrets" / self.environment / "compose"

    @property
    def compose(self) -> Path:
        """The folder that `docker compose` runs in."""
        return self.rendered / COMPOSE_FOLDER

    @property
    def rollout_marker(self) -> Path:
        """Exists while a rollout file may be live."""
        return self.folder / "releases" / self.environment / "rollout"


def load_facts(rendered: Path) -> StackFacts:
    """stack.json of a rendered folder. Raises MoorageError when it is missing or of another version."""
    try:
        return read_facts(json.loads((rendered / FACTS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise MoorageError(f"nothing is rendered in {rendered}", "`moorage render`, or just `moorage up`") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MoorageError(
            f"{rendered / FACTS_FILE} is from another version of moorage", "`moorage render` writes it anew"
        ) from None


def previous_facts(releases: Releases) -> StackFacts | None:
    """The facts of the release that serves, if they can be read; of the one before, if its record is damaged."""
    current = releases.current() or releases.before_current()
    if current is None:
        return None
    try:
        return load_facts(current.rendered)
    except MoorageError:
        return None


def refuse_data_risk(facts: StackFacts, previous: StackFacts | None, hint: str) -> None:
    """Raise DeployError when data that is there could not be read any more."""
    reasons = data_risks(facts, previous)
    if reasons:
        raise DeployError(f"this change would endanger data: {'; '.join(reasons)}", hint)


def files_of(release: Release) -> tuple[Tree, Tree]:
    """The rendered and the private files of a release."""
    if not release.private_folder.is_dir():
        raise DeployError(
            f"release {release.id} can't be gone back to: its copy of the secrets, {release.private_folder}, is gone",
            "put `secrets/` back from your copy, or `moorage rollback --to` another release (`moorage status` lists them)",
        )
    try:
        return read_tree(release.rendered), read_tree(release.private_folder)
    except MoorageError as error:
        raise DeployError(
            f"release {release.id} is not whole, it can't be gone back to: {error.message}",
            "`moorage status` lists the releases; `moorage rollback --to` goes to another one",
        ) from None
