"""Backups as ratios in one run, against what most people's cron does. Runs inside the job image; prints tables.

    python3 tests/bench/backup.py [GIGABYTES] [ROUNDS]

One server, one machine, in turn: the order of the ways is rotated between rounds, every writer ends with `sync`. Processor
time is that of the whole container, the server's included. Wall times are for orientation; the ratios are to be quoted.
The server keeps its log in a store, as one with point-in-time recovery does, whatever the way.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moorage.backups.files import seal_files
from moorage.backups.physical.recovery import recovered_server
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.restore import restore
from tests.bench.measuring import Way, table
from tests.job.live_server import execute
from tests.job.night_site import NightSite, new_site
from tests.job.physical_cluster import Cluster, cluster_in

APP_ROLE = "shop"
_SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "maintenance_work_mem": "256MB",
    "autovacuum": "off",
}


def shell(server: DatabasePlan, command: str) -> None:
    """A line as it stands in people's cron, with the connection by environment."""
    environment = {**os.environ, "PGHOST": server.host, "PGUSER": server.user, "PGDATABASE": server.names[0]}
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], check=True, env=environment, stdout=subprocess.DEVNULL
    )


def fill(server: DatabasePlan, gigabytes: float) -> None:
    """Rows like an app's: half of it pgbench's accounts, half text with identifiers, JSON and four indexes."""
    # As in a deployment: the app's role has no power, and owns everything.
    execute(server, "postgres", f"CREATE ROLE {APP_ROLE} LOGIN; ALTER DATABASE {server.names[0]} OWNER TO {APP_ROLE}")
    own, server = server, replace(server, user=APP_ROLE)
    shell(server, f"pgbench --initialize --quiet --scale {int(gigabytes * 36)} 2>/dev/null")
    execute(
        server,
        server.names[0],
        "CREATE TABLE docs (id uuid PRIMARY KEY, email text, title text, body text, facts jsonb, at timestamptz)",
    )
    sentences = _sentences()
    chance = random.Random(1)
    with (
        connect(server, server.names[0]) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY public.docs FROM STDIN") as copy,
    ):
        for number in range(int(gigabytes * 190_000)):
            body = " ".join(chance.choices(sentences, k=chance.randrange(5, 40)))
            facts = {word: chance.randrange(10**6) for word in body.split()[:7]}
            copy.write_row(
                (
                    f"{chance.getrandbits(128):032x}",
                    f"{body.split()[0].lower()[:12]}{number}@example.com".replace("\\", ""),
                    body[:60],
                    body,
                    json.dumps(facts),
                    f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:00:00Z",
                )
            )
    for index in ("(email)", "(at)", "USING gin (facts jsonb_path_ops)"):
        execute(server, server.names[0], f"CREATE INDEX ON docs {index}")
    execute(server, server.names[0], "VACUUM ANALYZE")
    execute(own, own.names[0], "CHECKPOINT")


def _sentences() -> list[str]:
    """Lines of Python's and Perl's libraries, comments and code: 20 MB of text, so that no compressor's window holds it."""
    places = [Path("/usr/share/perl"), *Path("/usr/lib").glob("python3*")]
    files = sorted(
        path for place in places for path in place.rglob("*.p[lmy]*") if path.suffix in (".py", ".pl", ".pm")
    )
    lines = (line.strip() for path in files for line in path.read_text("utf-8", "replace").splitlines())
    return sorted({line.replace("\0", "") for line in lines if 40 < len(line) < 400})


def size_of(folder: Path) -> int:
    """Bytes of all files below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Bench:
    """The ways, on one cluster that archives into a store."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        assert cluster.plan.database is not None
        self.folder, self.cluster = folder, cluster
        self.server = cluster.plan.database
        self.sites = 0

    def new_site(self, *, with_physical: bool) -> NightSite:
        """A site with an empty store of its own; with its physical part where the log is."""
        self.sites += 1
        place = self.folder / f"site{self.sites}"
        place.mkdir()
        plan = self.cluster.plan
        # The log stays in the cluster's store, whatever the site.
        changes = {"physical": plan.physical, "project": plan.project} if with_physical else {}
        stores = plan.stores if with_physical else ()
        return new_site(place, self.server, *stores, parallel=2, **changes)

    def written(self, name: str, command: str) -> Callable[[], int]:
        """A line of cron that writes one file."""

        def act() -> int:
            shell(self.server, command.format(place=self.folder / name))
            return (self.folder / name).stat().st_size

        return act

    def logical(self) -> int:
        """The dump with its counts and its hashes: what `pg_dump | gzip` does, and more."""
        place = self.folder / "dump"
        shutil.rmtree(place, ignore_errors=True)
        dump(self.server, place, parallel=2, lock_wait_seconds=30)
        return sum(item.bytes for item in seal_files(place))

    def restic(self, *, is_first: bool) -> Callable[[], int]:
        """A plain dump through restic, which finds what it has already."""
        repository = self.folder / "restic-of-a-dump"
        environment = f"RESTIC_PASSWORD=bench RESTIC_REPOSITORY={repository}"
        command = f"{environment} restic backup -q --stdin-from-command --stdin-filename dump.sql -- pg_dump"

        def act() -> int:
            if is_first:
                shutil.rmtree(repository, ignore_errors=True)
                shell(self.server, f"{environment} restic init -q")
            before = size_of(repository)
            shell(self.server, command)
            return size_of(repository) - before

        return act

    def pgbackrest(self, kind: str) -> Callable[[], int]:
        """pgBackRest alone, as configured by moorage."""

        def act() -> int:
            before = size_of(self.cluster.repository / "backup")
            command = (
                f"pgbackrest --config={self.cluster.configuration} --stanza=demo --type={kind} backup --start-fast"
            )
            subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
            return size_of(self.cluster.repository / "backup") - before

        return act

    def night(self, site: Callable[[], NightSite]) -> Callable[[], int]:
        """From the first check to the verdict; what the stores grew by."""

        def act() -> int:
            current = site()
            places = [Path(store.directory) for store in current.plan.stores]
            before = sum(size_of(place) for place in places)
            assert current.night() == 0, current.said
            return sum(size_of(place) for place in places) - before

        return act

    def first_night(self, rounds: int) -> None:
        """Making a backup where there is none yet."""
        table(
            "making the first backup",
            [
                Way("pg_dump | gzip", self.written("classic.sql.gz", "pg_dump | gzip > {place}")),
                Way("pg_dump -Fc", self.written("custom.dump", "pg_dump -Fc -f {place}")),
                Way("pg_dump through restic", self.restic(is_first=True)),
                Way("pgBackRest, full", self.pgbackrest("full")),
                Way("moorage: dump, counts, hashes", self.logical),
                Way("moorage: whole night with its drill", self.night(lambda: self.new_site(with_physical=False))),
            ],
            rounds,
        )

    def second_night(self, rounds: int) -> None:
        """After a day in which one row of a hundred was changed."""
        plain, both = self.new_site(with_physical=False), self.new_site(with_physical=True)
        for site in (plain, both):
            assert site.night() == 0, site.said
        shell(self.server, "psql -X -q -c 'UPDATE pgbench_accounts SET abalance = 7 WHERE aid % 100 = 0'")
        shell(
            self.server,
            "psql -X -q -c \"UPDATE docs SET title = 'new' WHERE id < '02900000-0000-0000-0000-000000000000'\"",
        )
        table(
            "the next night, one row of a hundred changed",
            [
                Way("pg_dump | gzip", self.written("classic.sql.gz", "pg_dump | gzip > {place}")),
                Way("pg_dump through restic", self.restic(is_first=False)),
                Way("pgBackRest, incremental", self.pgbackrest("incr")),
                Way("moorage: whole night with its drill", self.night(lambda: plain)),
                Way("the same, and the way to any moment", self.night(lambda: both)),
            ],
            rounds,
        )

    def restores(self, rounds: int) -> None:
        """Bringing one back into an empty server."""
        facts = dump(self.server, self.folder / "again", parallel=2, lock_wait_seconds=30)[0]

        beside = replace(self.server, names=("beside",))

        def drop() -> None:
            execute(self.server, "postgres", "DROP DATABASE beside WITH (FORCE)")
            # Each night backs the cluster up; what the log has after it is the work of a day, not that of restores.
            self.pgbackrest("incr")()
            self.cluster.switch()

        def classic() -> None:
            execute(self.server, "postgres", "CREATE DATABASE beside")
            shell(beside, f"gunzip -c {self.folder / 'classic.sql.gz'} | psql -X -q -v ON_ERROR_STOP=1")

        def custom() -> None:
            execute(self.server, "postgres", "CREATE DATABASE beside")
            shell(beside, f"pg_restore --exit-on-error --jobs=2 --dbname=beside {self.folder / 'custom.dump'}")

        def ours() -> None:
            restore(self.server, facts, self.folder / "again", "beside", parallel=2)

        def proven() -> None:
            ours()
            assert all(check.passed for check in compare(self.server, "beside", facts))

        def physical() -> None:
            place = self.folder / "restored"
            shutil.rmtree(place, ignore_errors=True)
            restored = self.cluster.engine.restore("local", place, None)
            with recovered_server(restored, self.server, is_drill=False):
                pass

        table(
            "restoring it into a new database of the same server; the cluster as a whole",
            [
                Way("gunzip | psql", classic, drop),
                Way("pg_restore -j 2 of -Fc", custom, drop),
                Way("moorage: restore", ours, drop),
                Way("moorage: restore and compare", proven, drop),
                Way("moorage: the cluster, by its files and its log", physical),
            ],
            rounds,
        )

    def latency(self) -> None:
        """What people wait for while a night is under way: pgbench at a fixed rate, 95th percentile."""

        def bench(seconds: int) -> float:
            with tempfile.TemporaryDirectory() as logs:
                command = f"cd {logs} && pgbench --client 4 --rate 100 --time {seconds} --log --no-vacuum"
                shell(self.server, f"{command} >/dev/null 2>&1")
                lines = [line.split() for path in Path(logs).iterdir() for line in path.read_text().splitlines()]
            values = sorted(int(line[2]) / 1000 for line in lines)
            return values[int(len(values) * 0.95)]

        site = self.new_site(with_physical=False)
        quiet = bench(30)
        done = threading.Event()

        def nights() -> None:
            # As on a server: each phase a process of its own.
            while not done.is_set():
                for verb in ("take", "drill", "conclude"):
                    assert site.program(verb).wait() == 0, verb

        thread = threading.Thread(target=nights)
        thread.start()
        busy = bench(60)
        done.set()
        thread.join()
        print(f"\np95 of pgbench while a night runs: {busy:.1f} ms against {quiet:.1f} ms without, {busy / quiet:.2f}×")


def main() -> None:
    """Fill, measure, print."""
    gigabytes, rounds = (float(sys.argv[1]) if len(sys.argv) > 1 else 2.0), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("BENCH_FOLDER")))
    with cluster_in(folder / "cluster", parameters=_SETTINGS) as cluster:
        cluster.check()
        bench = Bench(folder, cluster)
        fill(bench.server, gigabytes)
        size = cluster.run("SELECT pg_size_pretty(pg_database_size('app'))")[0][0]
        print(f"database: {size}", flush=True)
        bench.first_night(rounds)
        bench.second_night(rounds)
        bench.restores(rounds)
        bench.latency()


if __name__ == "__main__":
    main()
