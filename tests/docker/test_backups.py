"""Backups of a running site, by the commands that a user types: made, proven, damaged, restored, undone."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.site import Site, docker, note, secrets_of, site_with_store, titles, watched_arguments

pytestmark = pytest.mark.docker
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A notes site with a store of its own, some notes and a file."""
    with site_with_store(tmp_path_factory.mktemp("backups")) as made:
        yield made


def store_of(site: Site) -> Path:
    """The folder of the site in its store."""
    return site.folder.parent / "store" / site.name


def attach(site: Site, number: int, name: str, content: bytes) -> str:
    """Upload a file; gives where it is read."""
    boundary = "x" * 20
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + content
        + f"\r\n--{boundary}--\r\n".encode()
    )
    connection = site.connect()
    connection.request(
        "POST",
        f"/api/notes/{number}/attachments",
        body=body,
        headers={"Host": "notes.example.com", "Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    answer = connection.getresponse()
    data = json.loads(answer.read())
    assert answer.status == 201, data
    return f"/api/attachments/{data['id']}"


def run(site: Site) -> dict[str, Any]:
    """One night; gives the newest backup as `list` shows it."""
    outcome = site.moorage("backup", "run")
    assert outcome.status == 0, outcome.text
    return backups(site)[0]


def backups(site: Site) -> list[dict[str, Any]]:
    return list(json.loads(site.must("--json", "backup", "list").output))


def sql(site: Site, statement: str) -> str:
    return docker(
        "exec", site.container("postgres"), "psql", "-qtA", "-U", "postgres", "-d", "notes", "-c", statement
    ).strip()


def test_a_backup_is_made_restored_and_compared_and_no_argument_has_a_secret(site: Site) -> None:
    number = note(site, "first", private="very private words")
    attach(site, number, "a.bin", random.Random(1).randbytes(100_000))
    with watched_arguments(secrets_of(site)) as seen:
        outcome = site.moorage("backup", "run")
    assert outcome.status == 0, outcome.text
    assert seen == []
    assert not [secret for secret in secrets_of(site) if secret in outcome.text]
    newest = backups(site)[0]
    assert (newest["state"], newest["store"], newest["rows"] > 0, newest["files"] > 0) == ("good", "disk", True, True)
    shown = json.loads(site.must("--json", "backup", "show", newest["id"]).output)
    checks = {check["name"] for check in shown[0]["verdict"]["checks"]}
    assert {"files", "notes: rows", "notes: content", "pg_amcheck", "volume files"} <= checks
    status = json.loads(site.must("--json", "status").output)
    assert status["backups"]["good"]
    assert status["backups"]["last"]["stores"][0]["good"] >= 1


def test_what_was_deleted_comes_back_with_its_files_and_an_undo_takes_it_back(site: Site) -> None:
    number = note(site, "to be lost", private="only with the key")
    content = random.Random(2).randbytes(50_000)
    place = attach(site, number, "b.bin", content)
    newest = run(site)
    sql(site, f"DELETE FROM notes WHERE id = {number}")
    docker("exec", site.container("web"), "sh", "-c", "rm -rf /srv/uploads/*")
    later = note(site, "written after the backup")
    assert "to be lost" not in titles(site)

    outcome = site.moorage("backup", "restore", "--yes")
    assert outcome.status == 0, outcome.text
    assert "to be lost" in titles(site)
    assert "written after the backup" not in titles(site)
    assert site.request("GET", f"/api/notes/{number}").json()["private"] == "only with the key"
    assert site.request("GET", place).body == content
    assert "--undo " in outcome.text

    undone = site.moorage("backup", "restore", "--undo", "--yes")
    assert undone.status == 0, undone.text
    assert "written after the backup" in titles(site)
    assert site.request("GET", f"/api/notes/{later}").status == 200
    assert site.moorage("backup", "restore", "--discard", newest["id"], "--yes").status == 0
    assert sql(site, "SELECT count(*) FROM pg_database WHERE datname LIKE 'notes\\_\\_%'") == "0"
    assert site.moorage("plan").status == 0


def test_a_copy_to_look_into_changes_nothing_that_runs(site: Site) -> None:
    number = note(site, "needed once more")
    newest = run(site)
    sql(site, f"DELETE FROM notes WHERE id = {number}")
    release = json.loads(site.must("--json", "status").output)["release"]
    refused = site.moorage("backup", "restore", "--into", "notes")
    assert refused.status == 33, refused.text
    assert "there is a database `notes` already" in refused.text
    outcome = site.moorage("backup", "restore", newest["id"], "--into", "then")
    assert outcome.status == 0, outcome.text
    assert "needed once more" not in titles(site)
    psql = ("exec", site.container("postgres"), "psql", "-qtA", "-U", "postgres", "-d")
    assert docker(*psql, "then", "-c", f"SELECT title FROM notes WHERE id = {number}").strip() == "needed once more"
    assert "under a name of its own, then" in site.moorage("backup", "restores").text
    # The next night neither takes the copy along nor minds it.
    assert run(site)["rows"] == newest["rows"] - 1
    assert json.loads(site.must("--json", "status").output)["release"] == release
    assert site.moorage("backup", "restore", "--discard", "--yes").status == 0
    assert docker(*psql, "postgres", "-c", "SELECT count(*) FROM pg_database WHERE datname = 'then'").strip() == "0"
    assert site.moorage("backup", "restore", "--into", "then", "--undo").status != 0


def test_one_flipped_byte_in_the_store_is_never_good(site: Site) -> None:
    note(site, "damaged in the store")
    newest = run(site)
    packs = sorted((store_of(site) / "restic" / "data").rglob("*"), key=lambda path: path.stat().st_mtime)
    files = [path for path in packs if path.is_file()]
    originals = {path: path.read_bytes() for path in files}
    for path, content in originals.items():
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(bytes(damaged))
    try:
        outcome = site.moorage("backup", "drill", newest["id"])
        assert outcome.status == 32, outcome.text
        assert next(item for item in backups(site) if item["id"] == newest["id"])["state"] == "bad"
        assert site.moorage("backup", "verify").status == 32
    finally:
        for path, content in originals.items():
            path.write_bytes(content)
    assert site.moorage("backup", "drill", newest["id"]).status == 0


def test_an_edited_record_is_no_backup(site: Site) -> None:
    newest = run(site)
    record = store_of(site) / "backups" / f"{newest['id']}.record.json"
    original = record.read_bytes()
    record.chmod(0o600)
    record.write_bytes(original.replace(b'"rows"', b'"rowz"').replace(b'"bytes": ', b'"bytes": 1'))
    try:
        found = next(item for item in backups(site) if item["id"] == newest["id"])
        assert found["state"] == "unproven"
        assert "changed after it was written" in found["reason"]
        for verb in ("restore", "drill"):
            refused = site.moorage("backup", verb, newest["id"], *(["--yes"] if verb == "restore" else []))
            assert refused.status == 31, refused.text
            assert "changed after it was written" in refused.text
    finally:
        record.write_bytes(original)


def test_a_dump_of_the_classic_script_is_imported(site: Site, tmp_path: Path) -> None:
    note(site, "in the old dump")
    dump = subprocess.run(
        ["docker", "exec", site.container("postgres"), "pg_dump", "-U", "postgres", "notes"],
        capture_output=True,
        check=True,
    ).stdout
    file = tmp_path / "dump.sql.gz"
    file.write_bytes(gzip.compress(dump))
    note(site, "not in the old dump")
    outcome = site.moorage("backup", "import", str(file), "--yes")
    assert outcome.status == 0, outcome.text
    assert "in the old dump" in titles(site)
    assert "not in the old dump" not in titles(site)
    script = tmp_path / "cut.sql.gz"
    script.write_bytes(gzip.compress(dump[: dump.index(b"\\.\n", dump.index(b"COPY public.notes")) - 5]))
    for content in (script.read_bytes(), file.read_bytes()[:-200], b""):
        script.write_bytes(content)
        refused = site.moorage("backup", "import", str(script), "--yes")
        assert refused.status == 33, refused.text
        assert "in the old dump" in titles(site)
    # What nobody else may read stays so.
    file.chmod(0o600)
    note(site, "not in the old dump either")
    assert site.moorage("backup", "import", str(file), "--yes").status == 0
    assert "not in the old dump either" not in titles(site)


def test_while_an_import_asks_a_night_runs_and_what_was_prepared_survives_it(site: Site, tmp_path: Path) -> None:
    note(site, "before the dump")
    dump = docker("exec", site.container("postgres"), "pg_dumpall", "-U", "postgres")
    (tmp_path / "all.sql").write_text(dump)
    number = note(site, "after the dump")
    screen, terminal = os.openpty()
    words = site.command("backup", "import", str(tmp_path / "all.sql"))
    asking = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = _read_until(screen, "[y/N]")
    assert re.search(r"table +rows now +rows in the dump", shown), shown
    assert re.search(r"public\.notes +(\d+) ", shown), shown
    assert run(site)["state"] == "good"
    os.write(screen, b"y\n")
    shown = _read_until(screen, "free its room")
    assert asking.wait(60) == 0, shown
    assert "before the dump" in titles(site)
    assert "after the dump" not in titles(site)
    assert site.moorage("backup", "restore", "--undo", *_kept(site), "--yes").status == 0
    assert site.request("GET", f"/api/notes/{number}").status == 200


def _kept(site: Site) -> list[str]:
    """The newest of what restores keep aside."""
    names = sql(site, "SELECT datname FROM pg_database WHERE datname LIKE 'notes\\_\\_before%' ORDER BY 1").split()
    return [names[-1].removeprefix("notes__before_")]


def _read_until(screen: int, text: str) -> str:
    shown = ""
    while text not in shown:
        try:
            shown += os.read(screen, 4096).decode(errors="replace")
        except OSError:
            raise AssertionError(shown) from None
    return shown


def test_an_export_is_plain_files(site: Site, tmp_path: Path) -> None:
    newest = run(site)
    site.must("backup", "export", "--into", str(tmp_path / "out"))
    folder = tmp_path / "out" / newest["id"]
    assert (folder / "RESTORE.md").is_file()
    assert (folder / "dump" / "manifest.json").is_file()
    assert (folder / "deployment" / "moorage.yaml").is_file()
    assert list((folder / "volumes").iterdir())
