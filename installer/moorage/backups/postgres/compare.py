"""A restored database against what was counted in the dump's snapshot, one result per question, with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from moorage.backups.manifest import DatabaseFacts, SequenceFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres import contents
from moorage.backups.postgres.connections import connect, is_superuser, reason_of
from moorage.backups.postgres.plain_roles import plain_role
from moorage.backups.postgres.properties import identity, properties
from moorage.backups.postgres.tables import counted, dumped_tables, step_of
from moorage.backups.records import CheckResult
from moorage.words import abridged, plural

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_SHOWN = 5


def compare(server: DatabasePlan, name: str, facts: DatabaseFacts) -> tuple[CheckResult, ...]:
    """Hold the database `name` against `facts`; what the server refuses to tell is a result that did not pass."""
    import psycopg

    try:
        with (
            connect(server, name) as connection,
            plain_role(server, name) as reader,
            connect(reader, name) as counter,
        ):
            return tuple(_results(connection, counter, facts))
    except psycopg.Error as error:
        return (CheckResult(f"{facts.name}: comparison", False, reason_of(error)),)


def _results(connection: Connection, counter: Connection, facts: DatabaseFacts) -> Iterator[CheckResult]:
    yield from _tables(connection, counter, facts)
    yield _sequences(connection, facts)
    yield _extensions(connection, facts)
    yield _indexes(connection, facts)
    yield _objects(connection, facts)
    yield _large_objects(connection, facts)
    yield _properties(connection, facts)


def _tables(connection: Connection, counter: Connection, facts: DatabaseFacts) -> Iterator[CheckResult]:
    tables = {table.name: table for table in dumped_tables(connection)}
    expected = {table.name: table for table in facts.tables}
    missing = [f"{table} is missing" for table in expected.keys() - tables.keys()]
    extra = [f"{table} was not there" for table in tables.keys() - expected.keys()]
    yield _result(facts, "tables", sorted(missing + extra), plural(len(expected), "table"))
    both = [name for name in expected if name in tables]
    found = {name: counted(counter, tables[name], step_of(expected[name].check)) for name in both}
    rows = [
        f"{name} {expected[name].rows} → {found[name].rows}" for name in both if expected[name].rows != found[name].rows
    ]
    yield _result(facts, "rows", rows, plural(facts.rows, "row"), noun="table")
    # Where rows are missing, the content differs as well; it is told once.
    content = [
        name for name in both if found[name].rows == expected[name].rows and found[name].check != expected[name].check
    ]
    checked = sum(bool(expected[name].check) for name in both)
    yield _result(facts, "content", content, f"of {plural(checked, 'table')} the same", noun="table")


def _sequences(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    found = contents.sequences(connection)
    problems = [
        f"{item.name} is missing" if item.name not in found else f"{item.name} {_shown(item)} → {found[item.name]}"
        for item in facts.sequences
        if item.name not in found or not fits(item, found[item.name])
    ]
    return _result(facts, "sequences", problems, plural(len(facts.sequences), "sequence"))


def fits(facts: SequenceFacts, value: int | None) -> bool:
    """Whether a restored sequence stands where the dump may have found it.

    It is read before and after the dump: unused meanwhile it must be just there, else between the two.
    """
    before, after = facts.last_value, facts.value_after
    if before == after or before is None or after is None or value is None:
        return value in (before, after) or (before is None and after is not None)
    return min(before, after) <= value <= max(before, after)


def _shown(item: SequenceFacts) -> str:
    return str(item.last_value) if item.last_value == item.value_after else f"{item.last_value}…{item.value_after}"


def _extensions(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    """A dump does not say which version to install, so another one is told but is no fault."""
    found = contents.extensions(connection)
    missing = [f"{name} {version} is missing" for name, version in facts.extensions if name not in found]
    newer = [
        f"{name} {version} → {found[name]}" for name, version in facts.extensions if found.get(name, version) != version
    ]
    detail = plural(len(facts.extensions), "extension")
    return _result(
        facts, "extensions", missing, f"{detail}, of another version: {', '.join(newer)}" if newer else detail
    )


def _indexes(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    known = set(facts.invalid_indexes)
    problems = [f"{name} is invalid" for name in contents.invalid_indexes(connection) if name not in known]
    return _result(
        facts, "invalid indexes", problems, "none" if not known else f"none but those {len(known)} that were"
    )


def _objects(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    problems = _differences(dict(facts.objects), contents.objects(connection))
    return _result(facts, "objects", problems, ", ".join(f"{count} {kind}" for kind, count in facts.objects if count))


def _large_objects(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    count, _ = contents.large_objects(connection)
    problems = [] if count == facts.large_objects else [f"{facts.large_objects} → {count}"]
    if not problems and facts.large_objects_check:
        check = contents.large_objects_check(connection, step_of(facts.large_objects_check))
        problems = [] if check == facts.large_objects_check else ["their content"]
    return _result(facts, "large objects", problems, str(facts.large_objects))


def _properties(connection: Connection, facts: DatabaseFacts) -> CheckResult:
    owner, encoding, collation = identity(connection)
    found = {"encoding": encoding, "collation": collation, "owner": owner, **asdict(properties(connection))}
    expected = {
        "encoding": facts.encoding,
        "collation": facts.collation,
        "owner": facts.owner,
        **asdict(facts.properties),
    }
    if not is_superuser(connection):
        # Who may not give what is others' owns everything that it restores.
        del expected["owner"], expected["privileges"]
        owner = f"{owner}, who may not set owners and rights, so that these were not compared"
    return _result(facts, "properties", _differences(expected, found), f"{encoding}, {collation}, owner {owner}")


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return [f"{key} {value!r} → {found.get(key)!r}" for key, value in expected.items() if found.get(key) != value]


def _result(facts: DatabaseFacts, what: str, problems: Sequence[str], good: str, noun: str = "") -> CheckResult:
    name = f"{facts.name}: {what}"
    if not problems:
        return CheckResult(name, True, good)
    start = f"{plural(len(problems), noun or 'difference')}{' differ' if noun and len(problems) > 1 else ' differs' if noun else ''}"
    return CheckResult(name, False, f"{start}: {abridged(problems, _SHOWN)}")
