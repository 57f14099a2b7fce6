"""Whether all environments are the same app: their rendered folders, fact by fact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from moorage import __version__, flow
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.parity import compose, kubernetes
from moorage.parity.allowed import ALLOWED
from moorage.parity.compare import Comparison, Row, compare
from moorage.parity.facts import Facts
from moorage.parity.page import page
from moorage.parity.rendered import CLUSTER_FILE, Rendered, parse_objects, read_files, read_names
from moorage.targets.cluster import kustomize
from moorage.tree import MANIFEST, PENDING, edited_by_hand
from moorage.words import abridged, listed, plural

_WIDTH = 44
_MOST = 3
_MARKS = {"same": "=", "own": "·", "allowed": "~", "lacking": "-", "different": "✗"}


def comparison(
    folder: Path,
    environments: Sequence[str],
    console: Console,
    build: Callable[[Path], str] = kustomize.text_of,
) -> Comparison:
    """The environments of a deployment folder side by side; all of them when none is named.

    Reads what is rendered and renders nothing. Raises MoorageError for a folder that is missing or stale.
    """
    names = tuple(dict.fromkeys(environments)) or flow.names_of_environments(folder)
    for name in names:
        flow.chosen_environment(folder, name)
    if len(names) < 2:
        raise MoorageError(
            f"there is only the environment {listed(names)}, and nothing to hold it against",
            "write another one below `environments` of moorage.yaml, or name two with `-e`",
        )
    return compare([facts_of(read_environment(folder, name, console, build)) for name in names], ALLOWED)


def facts_of(rendered: Rendered) -> Facts:
    """What an environment really is."""
    return kubernetes.read(rendered) if rendered.is_cluster else compose.read(rendered)


def read_environment(folder: Path, environment: str, console: Console, build: Callable[[Path], str]) -> Rendered:
    """The files of one environment. Raises MoorageError when they are not all there."""
    place = folder / "rendered" / environment
    target = _checked(place, environment, console)
    documents, texts = read_files(place)
    kind = "compose" if target == "compose" else "k8s"
    private = read_names(folder / "secrets" / environment / kind)
    if target == "compose":
        return Rendered(environment, target, documents, texts, private)
    overlay = str((documents.get(CLUSTER_FILE) or {}).get("overlay", ""))
    objects = parse_objects(build(place / "k8s" / "overlays" / overlay), f"{environment}: kustomize build")
    return Rendered(environment, target, documents, texts, private, objects)


def _checked(place: Path, environment: str, console: Console) -> str:
    """The target that a rendered folder is for."""
    again = f"moorage render -e {environment}"
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MoorageError(f"{environment} is not rendered yet: there is no {place / MANIFEST}", f"`{again}`") from None
    except ValueError:
        raise MoorageError(f"{place / MANIFEST} is no JSON, so nobody knows what was rendered", f"`{again}`") from None
    if manifest.get(PENDING):
        raise MoorageError(f"{place} is half written: a render of {environment} was cut off", f"`{again}`")
    if manifest.get("moorage") != __version__:
        raise MoorageError(
            f"{place} was rendered by moorage {manifest.get('moorage')}, this is {__version__}", f"`{again}`"
        )
    edited = edited_by_hand(place)
    if edited:
        console.warning(
            f"{environment}: {plural(len(edited), 'file')} edited by hand, compared as it stands: {edited[0]}"
        )
    return str(manifest.get("target", ""))


def show(found: Comparison, console: Console, *, all_rows: bool) -> None:
    """The table on a terminal: what nobody explains and what a target lacks, or every row; then a sentence for each of the
    former."""
    rows = [_shown(row, row.key.subject) for row in found.rows] if all_rows else _grouped(found)
    if rows:
        console.table(("", "subject", "field", *found.environments, "why"), rows)
    for row in found.differences:
        console.failure(difference_text(row, found.environments))
    console.detail(summary(found))
    if not found.differences:
        console.success(f"{listed(found.environments, 'and')} are the same app")


def _grouped(found: Comparison) -> list[tuple[str, ...]]:
    """One line for all subjects of which the same is to be said."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in found.of("different", "lacking"):
        mark, _, *rest = _shown(row, "")
        groups.setdefault((mark, *rest), []).append(row.key.subject)
    return [(mark, abridged(subjects, _MOST), *rest) for (mark, *rest), subjects in groups.items()]


def are_the_same(folder: Path, console: Console) -> bool:
    """Compare all environments after they were rendered, and say what nobody explains.

    Without the program that builds manifests nothing is known: that is said, and is no difference.
    """
    if not kustomize.is_there():
        console.warning("the environments were not compared: neither `kustomize` nor `kubectl` is installed")
        return True
    found = comparison(folder, (), console)
    for row in found.differences:
        console.failure(difference_text(row, found.environments))
    if found.differences:
        console.detail("→ `moorage parity --html parity.html` shows all of it")
    else:
        console.success(f"{listed(found.environments, 'and')} are the same app")
    return not found.differences


def difference_text(row: Row, environments: Sequence[str]) -> str:
    """One unexplained difference as a sentence: what, which field, and the value of each environment."""
    values = ", ".join(f"{name} has {value or 'nothing'}" for name, value in zip(environments, row.values, strict=True))
    return f"{row.key.subject}: {row.key.field}: {values}"


def summary(found: Comparison) -> str:
    """How many facts there are, and how many of them differ for a reason."""
    return (
        f"{plural(len(found.rows), 'fact')}: {len(found.of('same'))} the same, {len(found.of('own'))} that only a server or "
        f"only a cluster has, {len(found.of('allowed'))} different for a reason, {len(found.of('lacking'))} that a target honestly lacks, {len(found.differences)} that nobody explains"
    )


def as_data(found: Comparison) -> dict[str, object]:
    """For `--json`."""
    return {
        "ok": not found.differences,
        "environments": list(found.environments),
        "rows": [row.as_data(found.environments) for row in found.rows],
    }


def write_page(found: Comparison, file: Path) -> None:
    """The comparison as one page that a browser opens without a network."""
    file.write_text(page(found), encoding="utf-8")


def _shown(row: Row, subject: str) -> tuple[str, ...]:
    values = tuple(_short(value) for value in row.values)
    why = "; ".join(row.reasons) if row.verdict != "different" else "nobody says why"
    return _MARKS[row.verdict], subject, _short(row.key.field), *values, why


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
