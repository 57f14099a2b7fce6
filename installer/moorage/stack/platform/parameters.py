"""Server parameters as people write them: names that the server reads, values of one line, none that moorage needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# A word, or two for a setting of an extension (guc-file.l: ID, QUALIFIED_ID).
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOST_CONNECTIONS = 262143

_OURS = "is set by moorage; it must not stand here"
_RESERVED = {
    **dict.fromkeys(
        (
            "config_file", "data_directory", "hba_file", "ident_file", "external_pid_file", "listen_addresses", "port",
            "unix_socket_directories",
        ),
        _OURS,
    ),
    **dict.fromkeys(
        ("include", "include_dir", "include_if_exists"),
        "is not a parameter: the container has no such file; write the parameters of it here",
    ),
    "logging_collector": "would write logs beside the log budget, until the disk is full; they go to `moorage logs`",
}  # fmt: skip


def problems(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name and rule of every parameter that must not reach the server's file."""
    seen: dict[str, str] = {}
    for name, value in parameters.items():
        key = name.lower()
        if not _NAME.fullmatch(name):
            yield name, "is not the name of a server parameter such as work_mem or pg_stat_statements.max"
        elif key in _RESERVED:
            yield name, _RESERVED[key]
        elif key in seen:
            yield name, f"is the same parameter as `{seen[key]}`: the server reads names without regard to case"
        elif _CONTROL.search(value):
            yield name, "must be one line without control characters"
        elif key == "max_connections" and not _is_count(value):
            yield name, f"must be a whole number between 1 and {_MOST_CONNECTIONS}"
        seen.setdefault(key, name)


def normal(parameters: Mapping[str, str]) -> dict[str, str]:
    """The same parameters with names as the server keeps them, in small letters."""
    return {name.lower(): value for name, value in parameters.items()}


def _is_count(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}", text)) and 1 <= int(text) <= _MOST_CONNECTIONS
