"""What CREATE and ALTER DATABASE say of a database, read from one and given to another.

`pg_dump` writes these for the database's own name only; we restore under another name first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts, DatabaseProperties
from moorage.backups.postgres.plain_roles import PREFIX

if TYPE_CHECKING:
    from psycopg import sql

    from moorage.backups.postgres.connections import Connection

_DATABASE = """
SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, to_jsonb(d),
    coalesce(shobj_description(oid, 'pg_database'), '')
FROM pg_database AS d WHERE datname = current_database()
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), unnest(s.setconfig)
FROM pg_db_role_setting AS s LEFT JOIN pg_roles AS r ON r.oid = s.setrole
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2
"""
# Those that nobody granted, too, and those that a job has granted to its own role not.
_PRIVILEGES = f"""
SELECT coalesce(r.rolname, ''), a.privilege_type, a.is_grantable
FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE d.datname = current_database() AND NOT starts_with(coalesce(r.rolname, ''), '{PREFIX}') ORDER BY 1, 2
"""  # noqa: S608
# Their values are lists of names, quoted where needed; every other value is one text. These are pg_dump's.
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")
_ELEMENT = re.compile(r'\s*("(?:[^"]|"")*"|[^",\s]+)\s*(?:,|$)')
_PRIVILEGE_WORDS = ("CONNECT", "CREATE", "TEMPORARY")
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def identity(connection: Connection) -> tuple[str, str, str]:
    """Owner, encoding and collation of the connection's database."""
    row = connection.execute(_DATABASE).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def properties(connection: Connection) -> DatabaseProperties:
    """The properties of the connection's database."""
    row = connection.execute(_DATABASE).fetchone()
    assert row is not None
    # As JSON, because the columns differ between versions.
    columns, comment = row[3], row[4]
    return DatabaseProperties(
        ctype=columns["datctype"],
        provider=columns.get("datlocprovider", "c"),
        locale=columns.get("datlocale") or columns.get("daticulocale") or "",
        icu_rules=columns.get("daticurules") or "",
        connection_limit=columns["datconnlimit"],
        comment=comment,
        settings=tuple((role, _canonical(setting)) for role, setting in connection.execute(_SETTINGS)),
        privileges=tuple((role, word, given) for role, word, given in connection.execute(_PRIVILEGES)),
    )


def create_statement(facts: DatabaseFacts, name: str, server_version_number: int) -> sql.Composed:
    """CREATE DATABASE for an empty one of the same encoding, collation and locale."""
    from psycopg import sql

    known = facts.properties
    options: list[tuple[str, str]] = [("ENCODING", facts.encoding), ("LC_COLLATE", facts.collation)]
    options.append(("LC_CTYPE", known.ctype or facts.collation))
    if server_version_number >= 150000:
        options.append(("LOCALE_PROVIDER", _PROVIDERS[known.provider]))
    if known.provider != "c":
        options.append(("ICU_LOCALE" if known.provider == "i" else "BUILTIN_LOCALE", known.locale))
    if known.icu_rules:
        options.append(("ICU_RULES", known.icu_rules))
    given = sql.SQL(" ").join(sql.SQL(word) + sql.SQL(" ") + sql.Literal(value) for word, value in options)
    return sql.SQL("CREATE DATABASE {name} TEMPLATE template0 {given}").format(name=sql.Identifier(name), given=given)


def apply_properties(connection: Connection, facts: DatabaseFacts, name: str, *, may_all: bool) -> None:
    """Give the database `name` what `facts` say; to be done after its restore, which settings could hinder.

    Without `may_all` (the rights of a superuser) the owner stays, and what the role may not give is left out; a
    comparison tells it.
    """
    import psycopg

    with connection.transaction():
        for statement in _statements(facts, name, with_owner=may_all):
            try:
                with connection.transaction():
                    connection.execute(statement)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject):
                if may_all:
                    raise


def _statements(facts: DatabaseFacts, name: str, *, with_owner: bool) -> Iterator[sql.Composed]:
    from psycopg import sql

    database, known = sql.Identifier(name), facts.properties
    if with_owner:
        yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(facts.owner))
    if known.comment:
        yield sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(known.comment))
    if known.connection_limit >= 0:
        yield sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, sql.Literal(known.connection_limit))
    for role, setting in known.settings:
        yield _setting(database, role, *setting.split("=", 1))
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database)
    for role, word, may_pass_on in known.privileges:
        if word not in _PRIVILEGE_WORDS:
            raise RestoreFailed(f"the manifest has a privilege `{word[:40]}` that no database has", "was it changed?")
        yield sql.SQL("GRANT {} ON DATABASE {} TO {} {}").format(
            sql.SQL(word),
            database,
            sql.Identifier(role) if role else sql.SQL("PUBLIC"),
            sql.SQL("WITH GRANT OPTION" if may_pass_on else ""),
        )


def _setting(database: sql.Identifier, role: str, key: str, value: str) -> sql.Composed:
    from psycopg import sql

    start = sql.SQL("ALTER DATABASE {}").format(database)
    if role:
        start = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
    values = _elements(value) if key in _LISTS else [value]
    # A setting with a prefix is one name with a dot in it; quoting it as a whole is what pg_dump does, too.
    return start + sql.SQL(" SET {} TO {}").format(
        sql.Identifier(*key.split(".")), sql.SQL(", ").join(sql.Literal(item) for item in values or [""])
    )


def _elements(value: str) -> list[str]:
    """The names in a list without their quotes; what is no list is one name, which means nothing to the server."""
    found, end = [], 0
    while end < len(value):
        item = _ELEMENT.match(value, end)
        if item is None:
            return [value]
        found.append(item[1][1:-1].replace('""', '"') if item[1].startswith('"') else item[1])
        end = item.end()
    return found


def _canonical(setting: str) -> str:
    """A list with every name quoted, whoever wrote it how: a restore writes it anew; other settings as they are."""
    key, _, value = setting.partition("=")
    if key not in _LISTS:
        return setting
    quoted = ('"' + item.replace('"', '""') + '"' for item in _elements(value) or [""])
    return f"{key}={', '.join(quoted)}"
