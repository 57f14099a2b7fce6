"""The numbered SQL files of the schema, in order; imports nothing external."""

import re
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).parent / "migrations"
FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


class MigrationFilesError(Exception):
    """The migration files don't make a sequence."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def label(self) -> str:
        """How the step is called in messages."""
        return f"{self.version:04d} {self.name}"


def read_migrations(directory: Path = DIRECTORY) -> tuple[Migration, ...]:
    """Return the migrations of a folder by number, or raise MigrationFilesError."""
    migrations = sorted(map(read_migration, directory.glob("*.sql")), key=lambda step: step.version)
    versions = [step.version for step in migrations]
    # A gap or a pair means that two branches met; better to stop here than in a database.
    if versions != list(range(1, len(versions) + 1)):
        raise MigrationFilesError(f"migrations are not numbered 1, 2, 3 …: {versions}")
    return tuple(migrations)


def read_migration(path: Path) -> Migration:
    """Return the migration in one file, or raise MigrationFilesError."""
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationFilesError(f"{path.name} is not named like 0001_what_it_does.sql")
    return Migration(int(match["version"]), match["name"], path.read_text(encoding="utf-8"))


def pending(migrations: tuple[Migration, ...], applied: set[int]) -> tuple[Migration, ...]:
    """Return the migrations that a database doesn't have yet, in order."""
    return tuple(step for step in migrations if step.version not in applied)
