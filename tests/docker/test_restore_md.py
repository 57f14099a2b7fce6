"""`backups/RESTORE.md`, typed as it is printed on a machine with Docker, restic and Python and without moorage."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tools

from moorage.backups.keys import derived_key
from moorage.backups.signing import signed
from moorage.recovery_key import parse_recovery_key
from tests.docker.site import Site, docker, free_ports, new_site

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]
CONTAINERS = ("restored-postgres", "restored-moment")
PROPERTIES = """
SELECT to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' - 'datdba' - 'datacl' || jsonb_build_object(
    'privileges', (SELECT jsonb_agg(entry::text ORDER BY entry::text) FROM unnest(datacl) AS entry), 'owner', pg_get_userbyid(datdba), 'comment', shobj_description(oid, 'pg_database'),
    'settings', (SELECT jsonb_agg(setconfig ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = oid))
FROM pg_database AS d WHERE datname = 'notes'
"""
# Owners, modes, kinds, names and contents of everything below a folder.
LISTING = "cd /to && find . -printf '%U:%G %m %y %p\\n' | sort; find . -type f -exec sha256sum {} + | sort -k 2"


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A notes site with odd files in a volume, a database with much said of it, and three nights."""
    folder = tmp_path_factory.mktemp("by-hand")
    (folder / "store").mkdir(mode=0o700)
    made = new_site(folder, backups={"stores": [{"name": "disk", "directory": str(folder / "store")}]})
    try:
        assert made.up().status == 0
        _fill(made)
        for _ in range(3):
            made.must("backup", "run")
        _spoil_the_newer_ones(made)
        yield made
    finally:
        made.remove()
        _clean()
        docker("rmi", "restored-pgbackrest", check=False)


def _fill(site: Site) -> None:
    assert site.request("POST", "/api/notes", {"title": "kept", "body": "b"}).status == 201
    script = "cd /srv/uploads && mkdir -p 'deep one' && echo text > 'deep one/a file' && chmod 640 'deep one/a file' && ln -s 'deep one' link"
    docker("exec", site.container("web"), "sh", "-c", script)
    volume = f"{site.name}_uploads"
    _in_volume(volume, "chown 4321:8765 '/to/deep one/a file'; chmod 2750 '/to/deep one'", writing=True)
    for statement in (
        "ALTER DATABASE notes SET timezone TO 'Europe/Berlin'",
        'ALTER DATABASE notes SET search_path TO public, "$user"',
        "ALTER DATABASE notes CONNECTION LIMIT 60",
        "COMMENT ON DATABASE notes IS 'it''s ours'",
        "CREATE ROLE reader",
        "ALTER ROLE reader IN DATABASE notes SET work_mem TO '8MB'",
        "REVOKE CONNECT ON DATABASE notes FROM PUBLIC",
        "GRANT CONNECT ON DATABASE notes TO reader",
    ):
        _sql(site.container("postgres"), statement)


def _spoil_the_newer_ones(site: Site) -> None:
    """The newest failed its last drill, the one before was given up: only the first is a good one."""
    folder = _store(site) / site.name / "backups"
    names = sorted(path.name.split(".")[0] for path in folder.glob("*.record.json"))
    key = derived_key(parse_recovery_key((site.folder / "secrets/recovery.key").read_text()), "signature")
    verdict = json.loads((folder / f"{names[2]}.verdict-0001.json").read_bytes())
    del verdict["signature"]
    (folder / f"{names[2]}.verdict-0002.json").write_bytes(signed({**verdict, "good": False}, key))
    (folder / f"{names[1]}.expired.json").write_bytes(signed({"id": names[1]}, key))


def _first_backup(site: Site) -> str:
    return min(path.name.split(".")[0] for path in (_store(site) / site.name / "backups").glob("*.record.json"))


def _store(site: Site) -> Path:
    return site.folder.parent / "store"


def _sql(container: str, statement: str) -> str:
    return docker("exec", container, "psql", "-qtAX", "-U", "postgres", "-d", "notes", "-c", statement).strip()


def _in_volume(volume: str, script: str, *, writing: bool = False) -> str:
    mount = f"{volume}:/to" if writing else f"{volume}:/to:ro"
    return docker("run", "--rm", "--network", "none", "--user", "0:0", "-v", mount, "--entrypoint", "sh", "postgres:17", "-c", script)  # fmt: skip


def _clean() -> None:
    docker("rm", "--force", "--volumes", *CONTAINERS, check=False)
    names = docker("volume", "ls", "-q", "--filter", "name=^restored_").split()
    if names:
        docker("volume", "rm", *names)


@pytest.fixture(autouse=True)
def _clean_machine(engine: None) -> Iterator[None]:
    _clean()
    yield
    _clean()


class Machine:
    """A clean machine: a container with a shell, the programs that the page names, and the Docker of this host.

    Its folder has the same path here, because that Docker looks for folders here.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        folder.mkdir()
        shutil.copy(site.folder / "secrets/recovery.key", folder / "the-key")
        self.image = docker("images", "-q", f"moorage-job/{site.name}").split()[0]

    def types(self, blocks: list[str]) -> subprocess.CompletedProcess[str]:
        """Type the blocks; the first that fails ends it."""
        asked = "\nif [ $? -ne 0 ]; then echo 'this block failed'; exit 1; fi\n"
        (self.folder / "typed").write_text(asked.join([*blocks, ""]))
        cli = shutil.which("docker")
        rclone = tools.fetch("rclone")
        mounts = [f"{_store(self.site)}:{_store(self.site)}:ro", f"{self.folder}:{self.folder}", f"{cli}:/usr/bin/docker:ro",
                  "/var/run/docker.sock:/var/run/docker.sock", f"{rclone}:/usr/bin/rclone:ro"]  # fmt: skip
        words = [word for mount in mounts for word in ("--volume", mount)]
        where = ["--workdir", str(self.folder), "--env", "PYTHONPATH=", "--user", "0:0", "--network", "host"]
        command = ["docker", "run", "--rm", *where, *words, "--entrypoint", "sh", self.image, "typed"]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def _blocks(site: Site, *, bucket: dict[str, str] | None = None, moment: str = "") -> list[str]:
    """What is to be typed: of a folder or of a bucket, with the values that are the user's own put in."""
    found = re.findall(r"^```sh( bucket)?\n(.+?)^```$", _text(), re.MULTILINE | re.DOTALL)
    values = {"STORE=/mnt/backup\n": f"STORE={_store(site)}\n", "NAME=notes\n": f"NAME={site.name}\n", **(bucket or {})}
    if moment:
        values["2026-11-22 14:05:00+01\n"] = f"{moment}\n"
    settings = [index for index, (_, block) in enumerate(found) if block.startswith("cat > settings")]
    typed = [
        block for index, (kind, block) in enumerate(found) if bucket or not kind if not bucket or index != settings[0]
    ]
    for old, new in values.items():
        assert bucket or old in "".join(typed), old
        typed = [block.replace(old, new) for block in typed]
    key = next(index for index, block in enumerate(typed) if "recovery.key" in block)
    return [*typed[:key], "cp ../the-key recovery.key\n", *typed[key:]]


def _text() -> str:
    return (ROOT / "backups" / "RESTORE.md").read_text(encoding="utf-8")


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_everything_comes_back_by_what_is_printed(site: Site, tmp_path: Path) -> None:
    server = site.container("postgres")
    time.sleep(1)
    moment = _sql(server, "SELECT clock_timestamp()")
    time.sleep(1)
    assert site.request("POST", "/api/notes", {"title": "after the moment", "body": "b"}).status == 201
    segment = _sql(server, "SELECT pg_walfile_name(pg_switch_wal())")
    while _sql(server, f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver") != "t":
        time.sleep(0.5)
    before = _tree(_store(site) / site.name / "restic"), _tree(_store(site) / site.name / "backups")
    done = Machine(site, tmp_path / "machine").types(_blocks(site, moment=moment))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (_tree(_store(site) / site.name / "restic"), _tree(_store(site) / site.name / "backups")) == before
    assert f"{_first_backup(site)} taken" in done.stdout
    assert "files, as they were written" in done.stdout
    assert "same notes public.notes 1" in done.stdout
    assert _sql("restored-postgres", PROPERTIES) == _sql(server, PROPERTIES)
    assert _sql("restored-postgres", "SELECT title FROM notes") == "kept"
    assert _sql("restored-moment", "SELECT title FROM notes") == "kept"
    assert _in_volume("restored_uploads", LISTING) == _in_volume(f"{site.name}_uploads", LISTING)
    assert "4321:8765 640 f ./deep one/a file" in _in_volume("restored_uploads", LISTING)
    for secret in ("POSTGRES_PASSWORD", "SECRET_KEY"):
        kept = tmp_path / "machine/restore/deployment/secrets/compose/values" / secret
        assert kept.read_text() == (site.folder / "secrets/compose/values" / secret).read_text()


def test_an_export_is_restored_from_the_third_chapter_on(site: Site, tmp_path: Path) -> None:
    machine = Machine(site, tmp_path / "machine")
    site.must("backup", "export", _first_backup(site), "--into", str(machine.folder))
    typed = _blocks(site)
    begin = next(index for index, block in enumerate(typed) if "as they were written" in block)
    end = next(index for index, block in enumerate(typed) if "cat > moment" in block)
    done = machine.types([f"cd {_first_backup(site)}\n", *typed[begin:end]])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "same notes public.notes 1" in done.stdout
    assert "4321:8765 640 f ./deep one/a file" in _in_volume("restored_uploads", LISTING)


@pytest.fixture
def bucket(site: Site) -> Iterator[dict[str, str]]:
    """The same store as a bucket with a prefix, by a real S3 server; what a user fills in."""
    port = free_ports(1)[0]
    served = _store(site).parent / "served" / "acme-backups" / "servers" / "acme"
    served.parent.mkdir(parents=True)
    served.symlink_to(_store(site))
    address = f"127.0.0.1:{port}"
    command = [tools.fetch("rclone"), "serve", "s3", "--read-only", "--copy-links", "--addr", address, "--auth-key",
               "AKIAtest,secret-of-the-test", str(_store(site).parent / "served")]  # fmt: skip
    server = subprocess.Popen([str(word) for word in command], stderr=subprocess.DEVNULL)
    try:
        while not _answers(port):
            time.sleep(0.1)
        yield {
            "the-access-key": "AKIAtest",
            "the-secret-key": "secret-of-the-test",
            "https://s3.example.com": f"http://{address}",
        }
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_bucket_gives_the_same(site: Site, tmp_path: Path, bucket: dict[str, str]) -> None:
    typed = [block for block in _blocks(site, bucket=bucket) if "docker run --detach" not in block]
    end = next(index for index, block in enumerate(typed) if "restored-postgres" in block)
    later = [block for block in typed[end:] if "pgbackrest" in block]
    done = Machine(site, tmp_path / "machine").types([*typed[:end], *later])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{_first_backup(site)} taken" in done.stdout
    assert "files, as they were written" in done.stdout
    assert (tmp_path / "machine/restore/volumes/uploads/deep one/a file").read_text() == "text\n"
    assert "full backup" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("NAME={name}\n", "is it the right folder?"), ("STORE={store}\n", "is it the right folder?")],
)
def test_a_wrong_name_ends_it_at_once(site: Site, tmp_path: Path, wrong: str, reason: str) -> None:
    right = wrong.format(name=site.name, store=_store(site))
    typed = [block.replace(right, right.partition("=")[0] + "=\n") for block in _blocks(site)]
    done = Machine(site, tmp_path / "machine").types(typed)
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stdout.endswith("this block failed\n")
    assert not docker("ps", "-aq", "--filter", "name=^restored-")


def test_a_flipped_byte_and_a_changed_verdict_end_it_at_once(site: Site, tmp_path: Path) -> None:
    typed = _blocks(site)
    check = next(index for index, block in enumerate(typed) if "as they were written" in block)
    flip = "python3 -c \"import glob; f = sorted(glob.glob('dump/notes/*.zst'))[0]; b = bytearray(open(f, 'rb').read()); b[9] ^= 1; open(f, 'wb').write(b)\"\n"
    done = Machine(site, tmp_path / "one").types([*typed[:check], flip, *typed[check:]])
    assert (done.returncode, "damaged: notes/" in done.stderr) == (1, True), done.stdout + done.stderr
    find = next(index for index, block in enumerate(typed) if "is it the right folder" in block)
    change = 'cp -r "$(. ./settings; echo $STORE)" ../copy; sed -i \'s#"good": true#"good":  true#\' ../copy/*/backups/*.verdict-0001.json; sed -i \'s/"exit_status": 0/"exit_status": 1/\' ../copy/*/backups/*.verdict-0001.json; sed -i "s#^STORE=.*#STORE=../copy#" settings\n'
    done = Machine(site, tmp_path / "two").types([*typed[:find], change, *typed[find:]])
    assert (done.returncode, "was changed" in done.stderr) == (1, True), done.stdout + done.stderr
