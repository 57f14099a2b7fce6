"""What a dump holds, entry by entry, in parts: each restored as a whole, with the superuser's rights or with little.

Making what an app's role owns may run what that role has defined: the expressions of a generated column or a partition key, the start
value of an aggregate, a CHECK that is added late, the casts of a foreign key; writing rows runs even more. So whatever a
superuser owns, or nobody, is made by the superuser, and everything else by a role that can do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from moorage.backups.failures import RestoreFailed
from moorage.errors import CommandFailed
from moorage.process import run

# The catalogue that an object stands in, its own number, its kind, its name, its owner: a name may be anything.
_LINE = re.compile(r"^\d+; (\d+) \d+ (.+)$")
_RIGHTS = re.compile(r"0 ACL |826 DEFAULT ACL ")
# Rows can be computed, and triggers can fire, only when everybody has their rights.
_LAST = re.compile(r"\d+ (EVENT TRIGGER|MATERIALIZED VIEW DATA|(COMMENT|SECURITY LABEL) - EVENT TRIGGER) ")
_ROWS = re.compile(r"0 (TABLE DATA|SEQUENCE SET) ")
# Nothing of an app runs when these are made, but to make one or to give it away takes a superuser's rights.
_POWERFUL = re.compile(
    r"\d+ (SCHEMA |EXTENSION |PROCEDURAL LANGUAGE |PUBLICATION |SUBSCRIPTION |FOREIGN DATA WRAPPER |SERVER |USER MAPPING |BLOB)"
)


@dataclass(frozen=True)
class Entry:
    """A line of `pg_restore --list`, the roles that may be its owner (a name may end like another), and its turn."""

    line: str
    owners: frozenset[str]
    turn: int
    needs_power: bool


@dataclass(frozen=True)
class Part:
    """Lines for `pg_restore --use-list`. `is_plain`: by a role without power; `is_late`: what comes after rights are given."""

    lines: tuple[str, ...]
    is_plain: bool
    is_late: bool


def entries_of(dumped: Path, roles: Collection[str], superusers: Collection[str]) -> tuple[Entry, ...]:
    """The entries of a dump in the order in which they are to be restored. Raises RestoreFailed when it can't be read."""
    try:
        text = run(["pg_restore", "--list", str(dumped)]).output
    except CommandFailed as error:
        raise RestoreFailed(f"the dump in {dumped} can't be read: {error.output.strip()[-300:]}") from None
    lines = [line for line in text.split("\n") if _LINE.match(line)]
    # As the program writes names.
    shown = {re.sub(r"[\r\n]", " ", role): role for role in roles}
    return tuple(sorted((_entry(line, shown, superusers) for line in lines), key=lambda entry: entry.turn))


def parts_of(entries: Iterable[Entry]) -> tuple[Part, ...]:
    """As few parts as the order of the entries allows."""
    grouped = groupby(entries, key=lambda entry: (not entry.needs_power, entry.turn > 0))
    return tuple(Part(tuple(item.line for item in items), *key) for key, items in grouped)


def _entry(line: str, roles: dict[str, str], superusers: Collection[str]) -> Entry:
    found = _LINE.match(line)
    assert found is not None
    text = f"{found[1]} {found[2]}"
    owners = frozenset(role for shown, role in roles.items() if text.endswith(f" {shown}"))
    turn = 1 if _RIGHTS.match(text) else 2 if _LAST.match(text) else 0
    is_ours = owners <= set(superusers) if owners else text.endswith(" ")
    needs_power = turn == 1 or bool(_POWERFUL.match(text)) or (is_ours and not _ROWS.match(text))
    return Entry(line, owners, turn, needs_power)
