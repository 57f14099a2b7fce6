"""What the settings of the databases say, on every target: each parameter, who may log in, what the first start makes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from moorage.parity.facts import Facts

POSTGRES_FILES = ("postgresql.conf", "pg_hba.conf", "ensure.sql")
_PARAMETER = re.compile(r"(?P<name>[\w.]+)\s*=\s*'(?P<value>(?:[^']|'')*)'")


def note(facts: Facts, postgres: Mapping[str, str], redis: str) -> None:
    """The contents of the files; `postgres` by name."""
    for line in _lines(postgres.get("postgresql.conf", ""), "#"):
        found = _PARAMETER.fullmatch(line)
        name, text = (found["name"], found["value"]) if found else (line, "as it stands")
        facts.note("database", f"parameter.{name}", text or "(empty)")
    for index, line in enumerate(_lines(postgres.get("pg_hba.conf", ""), "#")):
        facts.note("database", f"login.{index}", " ".join(line.split()))
    for index, line in enumerate(_lines(postgres.get("ensure.sql", ""), "--")):
        facts.note("database", f"ensured.{index}", line)
    seen: dict[str, int] = {}
    for line in _lines(redis, "#"):
        name, _, text = line.partition(" ")
        seen[name] = seen.get(name, -1) + 1
        facts.note("queue", f"parameter.{name}" + (f".{seen[name]}" if seen[name] else ""), text or "(empty)")


def _lines(text: str, comment: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(comment)]
