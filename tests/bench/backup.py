"""Backups as ratios in one run, against what most people's cron does. Runs inside the job image; prints a table.

    python3 tests/bench/backup.py [GIGABYTES] [ROUNDS]

One server, one machine, in turn: the order of the ways is rotated between rounds, every writer ends with `sync`. Processor
time is that of the whole container, the server's included. Wall times are for orientation; the ratios are to be quoted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from moorage.backups.files import seal_files
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.postgres.scratch import scratch_server
from tests.job.live_server import execute, live_server, make_database
from tests.job.night_site import NightSite, new_site

_SETTINGS = (
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "maintenance_work_mem=256MB",
    "autovacuum=off",
)
_USAGE = (Path("/sys/fs/cgroup/cpuacct/cpuacct.usage"), Path("/sys/fs/cgroup/cpu.stat"))


@dataclass
class Way:
    """One way to do something: what it does, and what was measured; seconds and bytes."""

    name: str
    act: Callable[[], object]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    size: int = 0

    def measure(self) -> None:
        os.sync()
        before, started = processor_seconds(), time.perf_counter()
        result = self.act()
        os.sync()
        self.wall.append(time.perf_counter() - started)
        self.processor.append(processor_seconds() - before)
        if isinstance(result, int) and not isinstance(result, bool):
            self.size = result


def processor_seconds() -> float:
    """What the container has used so far."""
    if _USAGE[0].is_file():
        return int(_USAGE[0].read_text()) / 1e9
    if _USAGE[1].is_file():
        return int(_USAGE[1].read_text().split()[1]) / 1e6
    return sum(os.times()[:4])


def table(title: str, ways: list[Way], rounds: int) -> None:
    """Measure in turn; every way against the first one."""
    for number in range(rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            way.measure()
    base = ways[0]
    print(f"\n{title}\n{'':44} {'wall':>8} {'processor':>10} {'size':>9}   faster  best  processor  size")
    for way in ways:
        print(
            f"{way.name:44} {statistics.median(way.wall):7.1f}s {statistics.median(way.processor):9.1f}s "
            f"{way.size / 1e6:7.0f}MB   "
            f"{statistics.median(a / b for a, b in zip(base.wall, way.wall, strict=True)):5.2f}× "
            f"{min(base.wall) / min(way.wall):5.2f}× "
            f"{statistics.median(a / b for a, b in zip(base.processor, way.processor, strict=True)):7.2f}× "
            f"{way.size / base.size if base.size else 0:7.2f}",
            flush=True,
        )


def shell(server: DatabasePlan, command: str) -> None:
    """A line as it stands in people's cron, with the connection by environment."""
    environment = {**os.environ, "PGHOST": server.host, "PGUSER": server.user, "PGDATABASE": server.names[0]}
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], check=True, env=environment, stdout=subprocess.DEVNULL
    )


def fill(server: DatabasePlan, gigabytes: float) -> None:
    """Rows like an app's: half of it pgbench's accounts, half prose with identifiers, JSON and four indexes."""
    shell(server, f"pgbench --initialize --quiet --scale {int(gigabytes * 33)} 2>/dev/null")
    execute(
        server,
        server.names[0],
        "CREATE TABLE docs (id uuid PRIMARY KEY, email text, title text, body text, facts jsonb, at timestamptz)",
    )
    from pydoc_data.topics import topics

    words = " ".join(topics.values()).split()
    chance = random.Random(1)
    with (
        connect(server, server.names[0]) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY public.docs FROM STDIN") as copy,
    ):
        for number in range(int(gigabytes * 130_000)):
            start = chance.randrange(len(words) - 300)
            facts = {word: chance.randrange(10**6) for word in words[start : start + 7]}
            copy.write_row(
                (
                    f"{chance.getrandbits(128):032x}",
                    f"user{number}@example.com",
                    " ".join(words[start : start + 6]),
                    " ".join(words[start : start + chance.randrange(100, 300)]),
                    json.dumps(facts),
                    "2026-01-01T00:00:00Z",
                )
            )
    for index in ("(email)", "(at)", "USING gin (facts jsonb_path_ops)"):
        execute(server, server.names[0], f"CREATE INDEX ON docs {index}")
    execute(server, server.names[0], "VACUUM ANALYZE")
    execute(server, server.names[0], "CHECKPOINT")


def backups(server: DatabasePlan, folder: Path, site: NightSite, rounds: int) -> None:
    """Making one."""

    def logical() -> int:
        place = folder / "dump"
        shutil.rmtree(place, ignore_errors=True)
        dump(server, place, parallel=2, lock_wait_seconds=30)
        return sum(item.bytes for item in seal_files(place))

    def written(name: str, command: str) -> Callable[[], int]:
        def act() -> int:
            shell(server, command.format(place=folder / name))
            return (folder / name).stat().st_size

        return act

    def night() -> int:
        assert site.night() == 0, site.said
        return sum(path.stat().st_size for path in (site.folder / "store").rglob("*") if path.is_file())

    ways = [
        Way("pg_dump | gzip", written("classic.sql.gz", "pg_dump | gzip > {place}")),
        Way("pg_dump -Fc", written("custom.dump", "pg_dump -Fc -f {place}")),
        Way("moorage: dump, counts, hashes", logical),
        Way("moorage: whole night with its drill", night),
    ]
    table("making a backup", ways, rounds)


def restores(server: DatabasePlan, folder: Path, rounds: int) -> None:
    """Bringing one back into an empty server."""
    facts = dump(server, folder / "again", parallel=2, lock_wait_seconds=30)

    def classic() -> None:
        with scratch_server(folder / "scratch", forbidden_identifier="") as scratch:
            recreate_roles(scratch, folder / "again")
            target = replace(scratch, names=("postgres",))
            shell(target, f"gunzip -c {folder / 'classic.sql.gz'} | psql -X -q -v ON_ERROR_STOP=1")

    def ours() -> None:
        with scratch_server(folder / "scratch", forbidden_identifier="") as scratch:
            recreate_roles(scratch, folder / "again")
            restore(scratch, facts[0], folder / "again", facts[0].name, parallel=2)

    def proven() -> None:
        with scratch_server(folder / "scratch", forbidden_identifier="") as scratch:
            recreate_roles(scratch, folder / "again")
            restore(scratch, facts[0], folder / "again", facts[0].name, parallel=2)
            assert all(check.passed for check in compare(scratch, facts[0].name, facts[0]))

    table(
        "restoring it into an empty server",
        [Way("gunzip | psql", classic), Way("moorage: restore", ours), Way("moorage: restore and compare", proven)],
        rounds,
    )


def latency(server: DatabasePlan, site: NightSite) -> None:
    """What people wait for while a night is under way: pgbench at a fixed rate, 95th percentile."""

    def bench(seconds: int) -> float:
        with tempfile.TemporaryDirectory() as logs:
            command = f"cd {logs} && pgbench --client 4 --rate 100 --time {seconds} --log --no-vacuum"
            shell(server, f"{command} >/dev/null 2>&1")
            lines = [line.split() for path in Path(logs).iterdir() for line in path.read_text().splitlines()]
        values = sorted(int(line[2]) / 1000 for line in lines)
        return values[int(len(values) * 0.95)]

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
    with live_server(folder, *_SETTINGS) as live:
        server = make_database(live, "bench")
        fill(server, gigabytes)
        with connect(server, "bench") as connection:
            row = connection.execute("SELECT pg_size_pretty(pg_database_size('bench'))").fetchone()
        print(f"database: {row[0] if row else '?'}", flush=True)
        site_folder = folder / "site"
        site_folder.mkdir()
        site = new_site(site_folder, server)
        backups(server, folder, site, rounds)
        restores(server, folder, rounds)
        latency(server, site)


if __name__ == "__main__":
    main()
