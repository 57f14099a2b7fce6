"""The contract of a store, for every implementation: on a real disk, and on a real S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import tools
from object_store import Answer, Drop, FaultyProxy, Hang, ObjectStore, faulty_proxy, object_store
from rig import RigError
from role_service import role_service

from moorage.backups.catalogue import Catalogue
from moorage.backups.failures import (
    BackupError,
    ForeignStore,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    Tampered,
    WrongKey,
)
from moorage.backups.plan import StorePlan
from moorage.backups.stores import base, s3
from moorage.backups.stores import directory as directories
from moorage.backups.stores.base import MARKER_KEY, Store
from moorage.backups.stores.opening import open_store
from moorage.sensitive import Sensitive
from tests.conftest import need

KEY = Sensitive("k" * 64)
RECORD = "backups/20261122T033000Z-7f3a91.record.json"
STRANGE = ["", "/etc/passwd", "../other/x", "backups/../../x", "backups//x", "backups/.", "a\0b", "ü", "a b", "x" * 600, ".hidden", "a\n"]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Somewhere to open stores in, and the folder where their files can be seen from outside."""

    plan: StorePlan
    folder: Path

    def open(self, project: str = "notes") -> Store:
        """A store that is marked already."""
        store = open_store(self.plan, project)
        if store.get(MARKER_KEY) is None:
            store.put(MARKER_KEY, b"mark")
        return store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """One S3 server for the file."""
    try:
        rclone = tools.fetch("rclone")
    except RigError as error:
        need(False, str(error))
    with object_store(rclone, tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def proxy(server: ObjectStore) -> Iterator[FaultyProxy]:
    """A way to the server that can fail."""
    with faulty_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def bucket(server: ObjectStore, proxy: FaultyProxy, tmp_path: Path) -> Place:
    """An empty prefix in a bucket, behind the proxy."""
    credentials = server.write_credentials(tmp_path / "credentials")
    plan = StorePlan(
        "cloud",
        bucket="backups",
        prefix=f"servers/{tmp_path.name}",
        endpoint=proxy.endpoint,
        region="eu-central-1",
        credentials_file=str(credentials),
    )
    return Place(plan, server.folder / "backups" / plan.prefix)


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    """An empty folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return Place(StorePlan("disk", directory=str(folder)), folder)


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each implementation."""
    found: Place = request.getfixturevalue(request.param)
    return found


def test_what_was_put_is_there_for_another_process(place: Place) -> None:
    place.open().put(RECORD, b"\x00\xffcontent\n")
    assert open_store(place.plan, "notes").get(RECORD) == b"\x00\xffcontent\n"
    assert (place.folder / "notes" / RECORD).read_bytes() == b"\x00\xffcontent\n"


def test_what_is_missing_is_nothing(place: Place) -> None:
    store = place.open()
    assert store.get(RECORD) is None
    assert store.get(f"{MARKER_KEY}/below-a-file") is None
    assert store.keys("backups/") == ()
    store.delete(RECORD)


def test_the_same_content_again_is_fine_and_other_content_is_refused(place: Place) -> None:
    store = place.open()
    store.put(RECORD, b"one")
    store.put(RECORD, b"one")
    with pytest.raises(Tampered, match=r"20261122T033000Z-7f3a91\.record\.json is there already"):
        store.put(RECORD, b"two")
    assert store.get(RECORD) == b"one"


def test_a_file_that_is_none_of_ours_by_its_size_is_not_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = place.open()
    store.put(RECORD, bytes(1000))
    for module in (base, directories, s3):
        monkeypatch.setattr(module, "LARGEST_BYTES", 999)
    with pytest.raises(Tampered, match="is larger than any file that moorage writes there"):
        store.get(RECORD)


def test_keys_are_sorted_and_relative(place: Place) -> None:
    store = place.open()
    for key in ("backups/b.json", "backups/a.json", "backups2/c.json", "restic/data/00/x"):
        store.put(key, b"x")
    assert store.keys("backups/") == ("backups/a.json", "backups/b.json")
    assert store.keys("backups") == ("backups/a.json", "backups/b.json", "backups2/c.json")
    assert store.keys("backups/b") == ("backups/b.json",)
    assert store.keys("") == (
        "backups/a.json",
        "backups/b.json",
        "backups2/c.json",
        "restic/data/00/x",
        MARKER_KEY,
    )


def test_many_keys_are_all_listed(server: ObjectStore, tmp_path: Path) -> None:
    """A bucket gives a thousand at a time."""
    folder = tmp_path / "s3" / "backups" / "notes" / "backups"
    folder.mkdir(parents=True)
    for number in range(1100):
        (folder / f"{number:04}.json").touch()
    with object_store(tools.fetch("rclone"), tmp_path / "s3") as full:
        credentials = full.write_credentials(tmp_path / "credentials")
        plan = StorePlan("cloud", bucket="backups", endpoint=full.endpoint, credentials_file=str(credentials))
        assert len(open_store(plan, "notes").keys("backups/")) == 1100


def test_deleted_is_gone(place: Place) -> None:
    store = place.open()
    store.put(RECORD, b"one")
    store.delete(RECORD)
    store.delete(RECORD)
    assert store.get(RECORD) is None
    store.put(RECORD, b"two")
    assert store.get(RECORD) == b"two"


@pytest.mark.parametrize("key", STRANGE)
def test_a_strange_key_never_leaves_the_folder(place: Place, key: str) -> None:
    store = place.open()
    actions: tuple[Callable[[], object], ...] = (
        lambda: store.put(key, b"x"),
        lambda: store.get(key),
        lambda: store.delete(key),
    )
    for action in actions:
        with pytest.raises(BackupError, match="can't be a name in a store"):
            action()
    assert sorted(path.name for path in place.folder.iterdir()) == ["notes"]


@pytest.mark.parametrize("prefix", ["../", "/", "..", "backups/../../"])
def test_a_strange_prefix_lists_nothing(place: Place, prefix: str) -> None:
    with pytest.raises(BackupError, match="can't be a name in a store"):
        place.open().keys(prefix)


@pytest.mark.parametrize("project", ["..", "", "a/../..", "/x"])
def test_a_strange_project_opens_nothing(place: Place, project: str) -> None:
    with pytest.raises(BackupError, match="can't be a name in a store"):
        open_store(place.plan, project)


def test_projects_stay_apart(place: Place) -> None:
    notes, notes2 = place.open("notes"), place.open("notes2")
    notes.put(RECORD, b"one")
    assert notes2.get(RECORD) is None
    assert notes2.keys("") == (MARKER_KEY,)
    assert RECORD in notes.keys("")


def test_a_store_has_one_deployment(place: Place) -> None:
    store = open_store(place.plan, "notes")
    Catalogue(store, KEY, "notes", "aaa").claim(create=True)
    Catalogue(store, KEY, "notes", "aaa").claim(create=True)
    Catalogue(store, KEY, "notes", "aaa").claim(create=False)
    with pytest.raises(ForeignStore, match="belongs to deployment aaa of project notes"):
        Catalogue(store, KEY, "notes", "bbb").claim(create=True)
    with pytest.raises(WrongKey):
        Catalogue(store, Sensitive("other" * 10), "notes", "aaa").claim(create=False)


def test_an_empty_store_is_not_taken_for_the_one_that_was_used(place: Place) -> None:
    with pytest.raises(ForeignStore, match="is not marked") as caught:
        Catalogue(open_store(place.plan, "notes"), KEY, "notes", "aaa").claim(create=False)
    assert ("mounted" if place.plan.kind == "directory" else "bucket") in caught.value.hint


# A disk.


def test_a_folder_is_closed_to_others(directory: Place) -> None:
    directory.open().put(RECORD, b"x")
    root = directory.folder / "notes"
    assert {path.stat().st_mode & 0o777 for path in (root, root / "backups")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in (root / MARKER_KEY, root / RECORD)} == {0o600}


def test_a_disk_that_is_not_mounted_is_no_empty_store(directory: Place) -> None:
    store = directory.open()
    (directory.folder / "notes").rename(directory.folder.parent / "unmounted")
    with pytest.raises(StoreUnreachable) as caught:
        store.put(RECORD, b"x")
    assert "mounted" in caught.value.hint
    assert list(directory.folder.iterdir()) == []
    directory.folder.rmdir()
    actions: tuple[Callable[[], object], ...] = (
        lambda: store.put(MARKER_KEY, b"x"),
        lambda: store.get(RECORD),
        lambda: store.keys("backups/"),
        store.free_bytes,
        lambda: store.delete(RECORD),
    )
    for action in actions:
        with pytest.raises(StoreUnreachable, match="is not there"):
            action()
    assert not directory.folder.exists()


_PUT = """
import os, signal, sys
from moorage.backups.plan import StorePlan
from moorage.backups.stores.opening import open_store
folder, last = sys.argv[1], int(sys.argv[2])
store = open_store(StorePlan("disk", directory=folder), "notes")
seen = 0
def watch(event, arguments):
    global seen
    if event.split(".")[0] in ("open", "os", "tempfile", "fcntl"):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
fsync = os.fsync
def watched_fsync(descriptor):
    watch("os.fsync", ())
    fsync(descriptor)
    watch("os.fsync", ())
os.fsync = watched_fsync
sys.addaudithook(watch)
store.put("backups/x.json", b"c" * 100_000)
"""


def test_killed_between_any_two_steps_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    outcomes = []
    for last in range(1, 100):
        place = Place(StorePlan("disk", directory=str(tmp_path / str(last))), tmp_path)
        (tmp_path / str(last)).mkdir()
        store = place.open()
        done = subprocess.run([sys.executable, "-c", _PUT, place.plan.directory, str(last)], check=False)
        content = store.get("backups/x.json")
        assert content in (None, b"c" * 100_000)
        assert store.keys("backups/") == (() if content is None else ("backups/x.json",))
        store.put("backups/x.json", b"c" * 100_000)
        outcomes.append(content is not None)
        if done.returncode == 0:
            break
    assert done.returncode == 0
    assert outcomes.count(False) > 5
    assert outcomes.count(True) >= 3
    assert outcomes == sorted(outcomes)


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False)
    need(mounted.returncode == 0, "the right to mount")
    try:
        place = Place(StorePlan("disk", directory=str(disk)), disk)
        store = place.open()
        with pytest.raises(StoreFull, match=r"No space left on device; \d.* are free"):
            store.put(RECORD, b"x" * 100_000)
        assert store.keys("") == (MARKER_KEY,)
        free = store.free_bytes()
        assert free is not None
        assert 0 < free < 65536
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreUnreachable, match="Read-only file system"):
            store.put(RECORD, b"x")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_is_not_ours_is_refused(directory: Place) -> None:
    store = directory.open()
    (directory.folder / "notes").chmod(0)
    try:
        with pytest.raises(StoreRefused, match="Permission denied"):
            store.keys("backups/")
    finally:
        (directory.folder / "notes").chmod(0o700)


# A bucket.


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short limits, so that what never answers is told soon."""
    monkeypatch.setattr(s3, "_CONNECT_SECONDS", 1)
    monkeypatch.setattr(s3, "_READ_SECONDS", 1)


@pytest.mark.parametrize(
    ("fault", "failure", "words"),
    [
        (Answer(403, "ExpiredToken"), StoreRefused, "has expired"),
        (Answer(400, "ExpiredToken"), StoreRefused, "has expired"),
        (Answer(403, "InvalidAccessKeyId"), StoreRefused, "not accepted"),
        (Answer(403, "SignatureDoesNotMatch"), StoreRefused, "not accepted"),
        (Answer(403, "AccessDenied"), StoreRefused, "may not"),
        (Answer(403, "RequestTimeTooSkewed"), StoreRefused, "clock"),
        (Answer(404, "NoSuchBucket"), StoreUnreachable, "no such bucket"),
        (Answer(403, "QuotaExceeded"), StoreFull, "no room"),
        (Answer(507, "XMinioStorageFull"), StoreFull, "no room"),
        (Answer(503, "SlowDown"), StoreUnreachable, "503 SlowDown"),
        (Answer(500, "InternalError"), StoreUnreachable, "500 InternalError"),
        (Answer(400, "IllegalLocationConstraintException"), StoreUnreachable, "another region"),
        (Drop(), StoreUnreachable, "does not answer"),
        (Hang(), StoreUnreachable, "does not answer"),
    ],
    ids=lambda value: str(getattr(value, "code", value)),
)
def test_every_failure_of_a_bucket_has_its_own_name(
    bucket: Place, proxy: FaultyProxy, impatient: None, fault: object, failure: type[BackupError], words: str
) -> None:
    store = bucket.open()
    proxy.fault = lambda method, path: fault  # type: ignore[assignment,return-value]
    actions: tuple[Callable[[], object], ...] = (
        lambda: store.get(MARKER_KEY),
        lambda: store.keys("backups/"),
        lambda: store.put(RECORD, b"x"),
        lambda: store.delete(MARKER_KEY),
    )
    for action in actions[:1] if isinstance(fault, Hang) else actions:
        with pytest.raises(failure, match=words) as caught:
            action()
        assert caught.value.hint
    proxy.fault = lambda method, path: None
    assert store.keys("") == (MARKER_KEY,)


def test_a_dead_address_is_told(bucket: Place, impatient: None) -> None:
    for endpoint in ("http://127.0.0.1:9", "https://nowhere.invalid"):
        store = open_store(replace(bucket.plan, endpoint=endpoint), "notes")
        with pytest.raises(StoreUnreachable, match="does not answer"):
            store.get(MARKER_KEY)


def test_a_login_page_in_between_is_no_bucket(bucket: Place, tmp_path: Path) -> None:
    class LoginPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = b"<html><body>please log in<br></body>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), LoginPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = open_store(replace(bucket.plan, endpoint=f"http://127.0.0.1:{server.server_port}"), "notes")
        with pytest.raises(StoreUnreachable, match="answer"):
            store.keys("backups/")
        server.shutdown()


def test_a_short_failure_is_ridden_out(bucket: Place, proxy: FaultyProxy) -> None:
    store = bucket.open()
    left = [Answer(503, "SlowDown"), Drop()]
    proxy.fault = lambda method, path: left.pop() if left else None
    store.put(RECORD, b"x")
    assert store.get(RECORD) == b"x"
    assert not left


def test_a_key_that_may_not_delete_is_enough_for_a_night(bucket: Place, proxy: FaultyProxy) -> None:
    proxy.refuse_deletes()
    store = open_store(bucket.plan, "notes")
    Catalogue(store, KEY, "notes", "aaa").claim(create=True)
    store.put(RECORD, b"x")
    assert store.keys("backups/") == (RECORD,)
    with pytest.raises(StoreRefused, match="may not DeleteObject") as caught:
        store.delete(RECORD)
    assert "s3:DeleteObject" in caught.value.hint


def test_a_put_that_is_cut_off_leaves_nothing(bucket: Place, proxy: FaultyProxy) -> None:
    store = bucket.open()
    proxy.fault = lambda method, path: Drop() if method == "PUT" else None
    with pytest.raises(StoreUnreachable):
        store.put(RECORD, b"x" * 1_000_000)
    proxy.fault = lambda method, path: None
    assert store.get(RECORD) is None


def test_what_comes_between_looking_and_putting_stays(bucket: Place, proxy: FaultyProxy) -> None:
    """Another writer puts after we looked: a server that knows `If-None-Match` says so, and we look again."""
    store, other = bucket.open(), open_store(bucket.plan, "notes")
    proxy.fault = lambda method, path: Answer(412, "PreconditionFailed") if method == "PUT" else None
    seen = []

    def first_look(method: str, path: str) -> Answer | None:
        if method == "PUT" and not seen:
            seen.append(path)
            other.put(RECORD, b"other")
            return Answer(412, "PreconditionFailed")
        return None

    proxy.fault = first_look
    with pytest.raises(Tampered, match="other content"):
        store.put(RECORD, b"mine")
    assert store.get(RECORD) == b"other"


def test_a_put_asks_to_be_the_first_where_the_server_can(bucket: Place, proxy: FaultyProxy) -> None:
    store = bucket.open()
    proxy.fault = lambda method, path: (
        Answer(501, "NotImplemented") if method == "PUT" and "If-None-Match" in proxy.headers else None
    )
    store.put(RECORD, b"x")
    assert store.get(RECORD) == b"x"


def test_the_machines_own_settings_are_not_used(bucket: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / "config"
    settings.write_text("[default]\nendpoint_url = http://127.0.0.1:9\nregion = xx\n[profile work]\nregion = yy\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "wrong",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_SESSION_TOKEN": "wrong",
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": str(settings),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    store = bucket.open()
    store.put(RECORD, b"x")
    assert store.get(RECORD) == b"x"
    assert os.environ["AWS_PROFILE"] == "nobody"


@pytest.mark.parametrize(
    "content", [None, "", "[other]\naws_access_key_id=a\n", "aws_secret_access_key = very-secret", "[default]\nx"]
)
def test_without_a_key_in_its_file_a_bucket_is_refused(bucket: Place, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "bad"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StoreRefused, match="its credentials file") as caught:
        open_store(replace(bucket.plan, credentials_file=str(file)), "notes")
    assert "very-secret" not in str(caught.value) + caught.value.hint


def test_without_a_file_it_is_the_role_that_counts_and_none_is_refused(
    bucket: Place, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(bucket.plan, credentials_file="")
    with role_service(server) as address:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
        # A key that lies about is not the role.
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        store = open_store(plan, "notes")
        store.put(RECORD, b"x")
        assert store.get(RECORD) == b"x"
        assert store.environment() == {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": address,
            "AWS_DEFAULT_REGION": "eu-central-1",
        }
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/")
    with pytest.raises(StoreRefused, match="gives this server no role"):
        open_store(plan, "notes").get(RECORD)


def test_the_wrong_secret_is_refused(bucket: Place, tmp_path: Path) -> None:
    text = Path(bucket.plan.credentials_file).read_text()
    (tmp_path / "wrong").write_text(text.replace("aws_secret_access_key = ", "aws_secret_access_key = 0"))
    store = open_store(replace(bucket.plan, credentials_file=str(tmp_path / "wrong")), "notes")
    with pytest.raises(StoreRefused, match="not accepted"):
        store.get(MARKER_KEY)


def test_restic_is_told_where_and_by_which_file(bucket: Place, directory: Place, tmp_path: Path) -> None:
    store = bucket.open()
    assert store.restic_repository() == f"s3:{bucket.plan.endpoint}/backups/{bucket.plan.prefix}/notes/restic"
    assert store.environment() == {
        "AWS_SHARED_CREDENTIALS_FILE": bucket.plan.credentials_file,
        "AWS_PROFILE": "default",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    amazon = open_store(replace(bucket.plan, endpoint="", prefix=""), "notes")
    assert amazon.restic_repository() == "s3:https://s3.eu-central-1.amazonaws.com/backups/notes/restic"
    assert directory.open().restic_repository() == str(directory.folder / "notes" / "restic")
    assert directory.open().environment() == {}
