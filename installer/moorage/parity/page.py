"""A comparison as one page that needs no network: the whole matrix, readable without its few lines of script."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import groupby

from moorage.parity.compare import Comparison, Row
from moorage.templating import render_template

_WORDS = {
    "same": ("same", "the same everywhere"),
    "own": ("of one kind", "only servers or only clusters have it, for a written reason"),
    "allowed": ("reason", "different for a written reason"),
    "lacking": ("lacking", "a target honestly lacks it"),
    "different": ("different", "nobody explains it"),
}

_ORDER = (
    "capability", "service ", "job ", "route ", "middleware ", "router ", "tls", "network", "proxy", "database", "queue",
    "volume ", "backup", "nodes",
)  # fmt: skip
_REST = len(_ORDER)


@dataclass(frozen=True)
class Count:
    """How many rows have a verdict."""

    name: str
    word: str
    describe: str
    rows: int


@dataclass(frozen=True)
class ShownRow:
    """One fact, as HTML."""

    verdict: str
    word: str
    field: str
    values: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Subject:
    """All facts of one subject; open from the start when one of them wants to be seen."""

    name: str
    rows: tuple[ShownRow, ...]
    summary: str
    worst: str
    is_open: bool


@dataclass(frozen=True)
class PageView:
    """What templates/parity/page.html.j2 sees."""

    environments: tuple[str, ...]
    counts: tuple[Count, ...]
    subjects: tuple[Subject, ...]
    total: int
    is_same: bool


def page(found: Comparison) -> str:
    """The text of the page."""
    groups = [(name, list(rows)) for name, rows in groupby(found.rows, key=lambda row: row.key.subject)]
    groups.sort(key=lambda group: (all(row.verdict != "different" for row in group[1]), _rank(group[0]), group[0]))
    view = PageView(
        tuple(escape(name) for name in found.environments),
        tuple(
            Count(name, word, describe, sum(row.verdict == name for row in found.rows))
            for name, (word, describe) in _WORDS.items()
        ),
        tuple(_subject(name, rows) for name, rows in groups),
        len(found.rows),
        not found.differences,
    )
    return render_template("parity/page.html.j2", view)


def _rank(subject: str) -> int:
    """What a person looks for first: what it can do, the app, its platform; then what only one kind of target has."""
    return next((rank for rank, name in enumerate(_ORDER) if subject.startswith(name)), _REST)


def _subject(name: str, rows: list[Row]) -> Subject:
    counted = [(word, sum(row.verdict == verdict for row in rows)) for verdict, (word, _) in _WORDS.items()]
    worst = next(
        (
            verdict
            for verdict in ("different", "lacking", "allowed", "own")
            if any(row.verdict == verdict for row in rows)
        ),
        "same",
    )
    return Subject(
        escape(name),
        tuple(_row(row) for row in rows),
        ", ".join(f"{count} {word}" for word, count in counted if count),
        worst,
        worst == "different",
    )


def _row(row: Row) -> ShownRow:
    why = "; ".join(row.reasons)
    if row.unexplained:
        why = "nobody says why: " + ", ".join(f"{one} and {other}" for one, other in row.unexplained)
    return ShownRow(
        row.verdict,
        _WORDS[row.verdict][0],
        escape(row.key.field),
        tuple(escape(value) for value in row.values),
        escape(why),
    )
