"""How data that an app writes is told from its configuration, and how it is moved into a volume."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import PurePosixPath

from moorage.app.reader import slug

_WORDS = (
    "data", "db", "database", "databases", "upload", "uploads", "storage", "media", "file", "files", "volume", "volumes",
    "backup", "backups", "dump", "dumps", "cache", "log", "logs", "attachments", "state", "store", "library", "persist",
)  # fmt: skip
_ENDINGS = ("data", "db", "uploads", "storage", "backup", "backups", "logs")
# Folders of images that their programs write.
_WRITTEN_PLACES = ("/config", "/var/lib", "/var/opt", "/var/log", "/var/backups", "/etc/letsencrypt")
# Files that only a running server writes; a copy of them is never what is meant.
_SERVER_FILES = (
    "PG_VERSION", "postmaster.pid", "ibdata1", "*.ibd", "WiredTiger*", "mongod.lock", "*.rdb", "*.aof", "appendonlydir",
)  # fmt: skip
_DATABASE_FILES = ("*.db", "*.db3", "*.sqlite", "*.sqlite3", "*.mdb", "acme.json")
_SQLITE = b"SQLite format 3\0"


def is_data_name(path: str) -> bool:
    """Whether a folder is called like data: `data`, `pgdata`, `redis-data`, `user_uploads`."""
    words = re.split(r"[^a-z0-9]+", PurePosixPath(path).name.lower())
    return any(word in _WORDS for word in words) or words[-1].endswith(_ENDINGS)


def is_written_place(target: str) -> bool:
    """Whether images write to that path of theirs."""
    return is_data_name(target) or any(f"{target}/".startswith(f"{place}/") for place in _WRITTEN_PLACES)


def is_server_file(name: str) -> bool:
    """Whether a database server keeps its data in a file of that name."""
    return any(fnmatch(name, pattern) for pattern in _SERVER_FILES)


def is_database_file(name: str, start: bytes = b"") -> bool:
    """Whether a file is a database by its name or its first bytes."""
    return (
        is_server_file(name) or any(fnmatch(name, pattern) for pattern in _DATABASE_FILES) or start.startswith(_SQLITE)
    )


def moving_hint(source: str, target: str, *, may_be_configuration: bool) -> str:
    """How a folder with data becomes a volume, as commands that can be typed."""
    volume = slug(PurePosixPath(source).name)
    place = shlex.quote(source.removeprefix("./").rstrip("/"))
    command = (
        f'docker run --rm -v "$PWD"/{place}:/from:ro -v {volume}:/to busybox '
        "sh -c '[ -z \"$(ls -A /to)\" ] && cp -a /from/. /to'"
    )
    hint = (
        f"stop what writes there, copy it into a volume with `{command}` beside the Compose file, "
        f"then mount `{volume}:{target}` and add `{volume}: {{external: true}}` under `volumes`"
    )
    return f"{hint}; if it is configuration, add `:ro`" if may_be_configuration else hint


def moving_file_hint(source: str) -> str:
    """What to do with a database that is a single file."""
    name = PurePosixPath(source).name
    return f"a volume is a folder: mount one at a folder of its own, and let the app keep {name} there"
