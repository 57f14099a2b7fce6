"""A running cluster that archives into stores, with everything that the physical path needs. Nothing of it is a fake."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg

from moorage.backups.keys import derived_key
from moorage.backups.physical.commands import as_owner, give_to_owner
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.physical.settings import BucketKeys, Configuration, configuration, postgres_parameters
from moorage.backups.plan import BackupPlan, DatabasePlan, PhysicalPlan, StorePlan
from moorage.sensitive import reveal

KEY = bytes(range(32))
STANZA = "demo"


def now() -> datetime:
    """With the zone, as the job has it."""
    return datetime.now(timezone.utc)


def written(content: Configuration) -> str:
    """The file as `targets.pgbackrest` writes it; the job's image has no Jinja."""
    sections = {"global": content.general, "global:archive-push": content.archiving, content.stanza: content.cluster}
    lines = []
    for name, options in sections.items():
        lines += [f"[{name}]", *(f"{option.name}={reveal(option.value)}" for option in options), ""]
    # Only so that a test with a store that is away does not take minutes.
    return re.sub("io-timeout=[0-9]+", "io-timeout=2", "\n".join(lines))


class Cluster:
    """Postgres in a folder of its own, and an engine for it."""

    segment_megabytes = 16

    def __init__(
        self,
        folder: Path,
        stores: Sequence[StorePlan] = (),
        keys: dict[str, BucketKeys] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.parameters = parameters or {}
        self.data = folder / "data"
        self.socket = folder / "socket"
        self.configuration = folder / "pgbackrest.conf"
        self.stores = tuple(stores) or (StorePlan("local", directory=str(folder / "stores" / "local")),)
        self.keys = keys or {}
        self.socket.mkdir(parents=True)
        give_to_owner(self.folder)
        give_to_owner(self.socket)
        for store in self.stores:
            if store.directory:
                repository = Path(store.directory) / "demo" / "pgbackrest"
                repository.mkdir(parents=True, exist_ok=True)
                give_to_owner(repository)
        self.configure()
        self._begin()
        self.engine = PgBackRest(self.plan)

    @property
    def repository(self) -> Path:
        """The first store's part of pgBackRest."""
        return Path(self.stores[0].directory) / "demo" / "pgbackrest"

    @property
    def plan(self) -> BackupPlan:
        """What the job would be told."""
        major = int(
            subprocess.run(["postgres", "-V"], capture_output=True, text=True, check=True)
            .stdout.split()[2]
            .split(".")[0]
        )
        return BackupPlan(
            project="demo",
            deployment_id="0123456789ab",
            environment="compose",
            target="compose",
            moorage="0",
            work=str(self.folder / "work"),
            recovery_key_file="",
            stores=self.stores,
            database=DatabasePlan(str(self.socket), 5432, "app", ("app",), major, cluster_folder=str(self.data)),
            physical=PhysicalPlan(STANZA, str(self.configuration), tuple(store.name for store in self.stores)),
        )

    def configure(self, key: bytes = KEY, queue_bytes: int = 64 * 2**20, stores: Sequence[StorePlan] = ()) -> None:
        """Write pgBackRest's file."""
        content = configuration(
            stanza=STANZA,
            stores=tuple(stores) or self.stores,
            project="demo",
            passphrase=derived_key(key, "pgbackrest"),
            bucket_keys=self.keys,
            cluster_folder=str(self.data),
            socket_folder=str(self.socket),
            port=5432,
            user="app",
            queue_bytes=queue_bytes,
            parallel=2,
        )
        self.configuration.write_text(written(content))
        self.configuration.chmod(0o640)
        give_to_owner(self.configuration)

    def _begin(self) -> None:
        initdb = [
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "app",
            "--data-checksums",
            "--wal-segsize",
            str(self.segment_megabytes),
            "-A",
            "trust",
            "--no-sync",
        ]
        subprocess.run(as_owner(initdb), check=True, capture_output=True)
        parameters = {
            **postgres_parameters(STANZA, str(self.configuration)),
            "unix_socket_directories": str(self.socket),
            "listen_addresses": "",
            "max_wal_size": "64MB",
            "min_wal_size": "32MB",
            "shared_buffers": "32MB",
            **self.parameters,
        }
        lines = [f"{name} = '{value}'" for name, value in parameters.items()]
        with (self.data / "postgresql.conf").open("a") as stream:
            stream.write("\n".join([*lines, ""]))
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("create database app")

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = str(self.folder / "server.log")
        start = ["pg_ctl", "-D", str(self.data), "-l", log, "-w", "start"]
        subprocess.run(as_owner(start), check=True, capture_output=True)

    def stop(self) -> None:
        """Stop at once, whatever state it is in."""
        stop = ["pg_ctl", "-D", str(self.data), "-m", "immediate", "stop"]
        subprocess.run(as_owner(stop), check=False, capture_output=True)

    def connect(self, name: str = "app") -> psycopg.Connection[Any]:
        """A connection that commits every statement."""
        return psycopg.connect(host=str(self.socket), dbname=name, user="app", autocommit=True)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one."""
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def check(self, **options: bool) -> None:
        """What every night begins with."""
        with self.connect() as connection:
            self.engine.check(connection, **options)

    def health(self, store: str = "local") -> Any:
        """How far the log is."""
        with self.connect() as connection:
            return self.engine.health(store, connection, now())

    def mark(self, store: str = "local") -> Any:
        """A moment to recover to."""
        with self.connect() as connection:
            return self.engine.mark(store, connection)

    def switch(self) -> None:
        """Let the server archive the segment that it writes, and wait for it."""
        # A switch does nothing where nothing was written since the last one.
        (name,) = self.run("select txid_current()", "select pg_walfile_name(pg_switch_wal())")[0]
        self.wait_for_archiver(name)

    def wait_for_archiver(self, name: str) -> None:
        """Until the server itself counts a segment as archived: before, it may hand it over once more."""
        deadline = time.monotonic() + 30
        while self.run("select coalesce(max(last_archived_wal), '') from pg_stat_archiver")[0][0] < name:
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.1)

    def other_engine(self, **changes: Any) -> PgBackRest:
        """An engine for a changed plan."""
        return PgBackRest(replace(self.plan, **changes))


@contextlib.contextmanager
def cluster_in(
    folder: Path,
    stores: Sequence[StorePlan] = (),
    keys: dict[str, BucketKeys] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A cluster for a while."""
    cluster = Cluster(folder, stores, keys, parameters)
    try:
        yield cluster
    finally:
        cluster.stop()


def flip(file: Path, at: int | None = None) -> None:
    """Change one bit of a file, in its middle unless told where."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 0x10
    file.chmod(0o640)
    file.write_bytes(bytes(content))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a program and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def recovered_rows(server: DatabasePlan, query: str) -> list[tuple[Any, ...]]:
    """Ask a recovered server."""
    with psycopg.connect(host=server.host, port=server.port, user=server.user, dbname="app") as connection:
        return connection.execute(query.encode()).fetchall()
