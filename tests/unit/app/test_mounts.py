"""What a service mounts: named volumes, copies of files, memory; nothing of the host that was not allowed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from moorage.app.model import FileMount, HostMount, MemoryMount, Mount, VolumeMount
from moorage.app.reader import slug
from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive
from tests.unit.given import app, folder_with, rules_of
from tests.unit.given import service as read_service

VOLUMES = {"volumes": {"data": None, "other": None}}


def mounts(folder: Path, *written: Any, **more: Any) -> tuple[Mount, ...]:
    """The mounts of a service with these volumes, which must have no problem."""
    found, around = read_service(folder, {"volumes": list(written)}, top=VOLUMES, **more)
    assert rules_of(around) == []
    return found.mounts


def refused(folder: Path, *written: Any, **more: Any) -> str:
    """Why a volume is refused."""
    _, around = read_service(folder, {"volumes": list(written)}, top=VOLUMES, **more)
    rules = rules_of(around)
    assert len(rules) == 1, rules
    return rules[0]


def file_mount(folder: Path, *written: Any, **more: Any) -> FileMount:
    (found,) = mounts(folder, *written, **more)
    assert isinstance(found, FileMount)
    return found


@pytest.mark.parametrize(
    ("line", "is_told"),
    [
        ('password = "s3cr3t-Zq"', True),
        ('  "api_key": "s3cr3t-Zq",', True),
        ("secret_key: s3cr3t-Zq  # keep", True),
        ("url: postgres://app:s3cr3t-Zq@db/app", True),
        ("connect postgres://app:s3cr3t-Zq@db/app;", True),
        ("-----BEGIN RSA PRIVATE KEY-----", True),
        ("password = ${PASSWORD}", False),
        ("  psql postgres://app:$PASSWORD@db/app", False),
        ("password: {{ password }}", False),
        ("server_tokens off;", False),
        ("password_file: /run/secrets/x", False),
        ("token: on", False),
        ("<password>", False),
    ],
)
def test_a_copy_that_seems_to_hold_secrets_is_told_without_them(line: str, is_told: bool, tmp_path: Path) -> None:
    files = {"conf/app.conf": f"a = 1\n{line}\n", "conf/logo.png": b"\x89PNG\xff"}
    _, around = read_service(tmp_path, {"volumes": ["./conf:/etc/app:ro"]}, files=files)
    assert rules_of(around) == []
    told = [notice.text for notice in around.notices]
    assert any(text.startswith("conf/app.conf: seems to hold secrets") for text in told) is is_told
    assert "s3cr3t" not in str(told)


def test_a_closed_file_is_a_secret_already(tmp_path: Path) -> None:
    folder_with(tmp_path, {"app.conf": "password = s3cr3t-Zq\n"})
    (tmp_path / "app.conf").chmod(0o640)
    _, around = read_service(tmp_path, {"volumes": ["./app.conf:/etc/app.conf:ro"]})
    assert around.notices == []


# Named volumes.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("data:/srv", VolumeMount("data", "/srv")),
        ("data:/srv:ro", VolumeMount("data", "/srv", True)),
        ("data:/srv:rw", VolumeMount("data", "/srv")),
        ("data:/srv:ro,nocopy", VolumeMount("data", "/srv", True, "", True)),
        ("data:/srv:z", VolumeMount("data", "/srv")),
        ({"type": "volume", "source": "data", "target": "/srv"}, VolumeMount("data", "/srv")),
        ({"source": "data", "target": "/srv", "read_only": True}, VolumeMount("data", "/srv", True)),
        ({"type": "volume", "source": "data", "target": "/srv", "volume": {"nocopy": True, "subpath": "a/b"}},
         VolumeMount("data", "/srv", False, "a/b", True)),
    ],
)  # fmt: skip
def test_every_form_of_a_named_volume_is_read(written: Any, meant: Mount, tmp_path: Path) -> None:
    assert mounts(tmp_path, written) == (meant,)


@pytest.mark.parametrize("written", ["/var/cache/app", {"type": "volume", "target": "/var/cache/app"}])
def test_an_unnamed_volume_gets_a_name_so_that_an_update_keeps_it(written: Any, tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {"volumes": [written]})
    assert found.mounts == (VolumeMount("web-var-cache-app", "/var/cache/app"),)
    assert "web-var-cache-app" in around.volumes
    assert any("/var/cache/app" in notice.text for notice in around.notices)


@pytest.mark.parametrize(
    "written",
    ["dta:/srv", "data:srv", "data:", "data:/a:/b:ro", "data:/srv:exec", "srv", "", ".", "~/data:/srv", 5, True, {"type": "volume", "source": "data"},
     {"type": "image", "source": "data", "target": "/srv"}, {"source": "data", "target": "/srv", "nonsense": 1}, {"source": "data", "target": "srv"}],
)  # fmt: skip
def test_what_is_no_volume_is_refused_at_its_index(written: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, written).startswith("services.web.volumes[0]")


def test_a_volume_that_is_nearly_declared_is_suggested(tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"volumes": ["dta:/srv"]}, top=VOLUMES)
    assert around.problems[0].suggestion == "data"


def test_two_things_at_one_place_are_refused(tmp_path: Path) -> None:
    assert "two things at /srv" in refused(tmp_path, "data:/srv", "other:/srv")


@pytest.mark.parametrize("second", ["other:/srv/", "other:/srv/.", "other://srv", "other:/x/../srv"])
def test_two_spellings_of_one_place_are_refused(second: str, tmp_path: Path) -> None:
    assert "two things" in refused(tmp_path, "data:/srv", second)


@pytest.mark.parametrize(
    "written",
    [
        {"type": "volume", "source": "data", "target": "/srv", "volume": {"nocpoy": True}},
        {"type": "bind", "source": "./a", "target": "/srv", "bind": {"propagation": "rshared"}},
        {"type": "tmpfs", "target": "/srv", "tmpfs": {"siez": "1m"}},
    ],
)
def test_unknown_options_of_a_long_mount_are_refused(written: Any, tmp_path: Path) -> None:
    refused(tmp_path, written, files={"a": "x"})


# Memory.


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ({"tmpfs": "/run"}, [MemoryMount("/run")]),
        ({"tmpfs": ["/run", "/tmp:size=64m,mode=1777"]}, [MemoryMount("/run"), MemoryMount("/tmp", 64 * MEBIBYTE, "1777")]),
        ({"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "10m", "mode": "0700"}}]}, [MemoryMount("/t", 10 * MEBIBYTE, "0700")]),
        ({"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": 1048576}}]}, [MemoryMount("/t", MEBIBYTE)]),
    ],
)  # fmt: skip
def test_every_form_of_memory_is_read(keys: Any, meant: list[Mount], tmp_path: Path) -> None:
    found, around = read_service(tmp_path, keys)
    assert rules_of(around) == []
    assert list(found.mounts) == meant


def test_a_size_of_memory_that_is_none_is_refused(tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"tmpfs": ["/run:size=50%"]})
    assert rules_of(around)[0].startswith("services.web.tmpfs[0]:")


@pytest.mark.parametrize("option", ["uid=1000", "noexec", "nr_inodes=10", "nonsense"])
def test_options_of_memory_are_kept_or_refused(option: str, tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {"tmpfs": [f"/run:{option}"]})
    assert around.problems or option.partition("=")[0] in repr(found.mounts)


@pytest.mark.parametrize(
    "keys", [{"tmpfs": "run"}, {"volumes": [{"type": "tmpfs"}]}, {"volumes": [{"type": "tmpfs", "target": "x"}]}]
)
def test_memory_must_be_mounted_at_an_absolute_path(keys: Any, tmp_path: Path) -> None:
    _, around = read_service(tmp_path, keys)
    assert around.problems


def test_the_mode_of_memory_written_as_an_octal_number_keeps_its_meaning(tmp_path: Path) -> None:
    keys = "volumes: [{type: tmpfs, target: /t, tmpfs: {mode: 0o1777}}]\n"
    found, _ = read_service(tmp_path, keys)
    (mount,) = found.mounts
    assert isinstance(mount, MemoryMount)
    assert int(mount.mode, 8) == 0o1777


# Files and folders beside the Compose file.


def test_a_file_is_copied_and_read_only(tmp_path: Path) -> None:
    found, around = read_service(
        tmp_path, {"volumes": ["./nginx.conf:/etc/nginx/nginx.conf"]}, files={"nginx.conf": "x"}
    )
    assert found.mounts == (FileMount("nginx-conf", "/etc/nginx/nginx.conf", {"": b"x"}),)
    assert any("read-only" in notice.text for notice in around.notices)


def test_a_folder_is_copied_with_what_is_in_it(tmp_path: Path) -> None:
    files = {"conf/a": "1", "conf/sub/b.sh": "2", "conf/.hidden": "3"}
    folder_with(tmp_path, files)
    (tmp_path / "conf/sub/b.sh").chmod(0o755)
    found = file_mount(tmp_path, "./conf:/conf:ro")
    assert found.is_folder
    assert found.files == {"a": b"1", "sub/b.sh": b"2", ".hidden": b"3"}
    assert found.executable == {"sub/b.sh"}


@pytest.mark.parametrize(
    "written",
    [
        "./conf:/c:ro",
        {"type": "bind", "source": "conf", "target": "/c", "read_only": True},
        {"type": "bind", "source": "./conf", "target": "/c", "read_only": True},
    ],
)
def test_every_form_of_a_folder_is_read(written: Any, tmp_path: Path) -> None:
    assert file_mount(tmp_path, written, files={"conf/a": "1"}).files == {"a": b"1"}


def test_a_file_above_the_compose_file_is_copied_too(tmp_path: Path) -> None:
    folder_with(tmp_path, {"shared.conf": "x", "app/here": ""})
    assert file_mount(tmp_path / "app", "../shared.conf:/s.conf:ro").files == {"": b"x"}


@pytest.mark.parametrize(
    "source", ["./missing.conf:/etc/app.conf", "./missing:/etc/app:ro", "./missing.d/x.yaml:/etc/x.yaml"]
)
def test_a_missing_file_is_refused(source: str, tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path, source)


@pytest.mark.parametrize("name", ["data", "uploads", "Media", "logs"])
def test_a_folder_with_data_that_the_app_writes_is_refused(name: str, tmp_path: Path) -> None:
    assert "holds data" in refused(tmp_path, f"./{name}:/srv", files={f"{name}/x": "1"})
    assert file_mount(tmp_path, f"./{name}:/srv:ro").files == {"x": b"1"}


@pytest.mark.parametrize("name", ["pgdata", "redis-data", "app_data", "postgres-data", "user-uploads"])
def test_a_folder_whose_name_ends_like_data_is_refused_too(name: str, tmp_path: Path) -> None:
    assert "holds data" in refused(tmp_path, f"./{name}:/srv", files={f"{name}/x": "1"})


@pytest.mark.parametrize("files", [{}, {"uploads": None}])
def test_an_empty_or_missing_folder_becomes_a_named_volume(files: dict[str, None], tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {"volumes": ["./uploads:/srv/uploads"]}, files=files)
    (mount,) = found.mounts
    assert isinstance(mount, VolumeMount)
    assert mount.volume in around.volumes
    assert any("backed up" in notice.text for notice in around.notices)


def test_services_that_share_a_folder_share_the_volume(tmp_path: Path) -> None:
    found = app(
        tmp_path,
        {
            "services": {
                "web": {"image": "a", "volumes": ["./uploads:/srv/uploads"]},
                "worker": {"image": "a", "volumes": ["./uploads:/work"]},
            }
        },
    )
    volumes = {
        mount.volume
        for service in found.services.values()
        for mount in service.mounts
        if isinstance(mount, VolumeMount)
    }
    assert len(volumes) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"web": ["./api-data:/a"]}, {"web-api": ["./data:/a"]}),
        ({"web": ["/b/c"]}, {"web-b": ["/c"]}),
        ({"web": ["./a.b:/a"]}, {"web": ["./a.b:/a", "./a-b:/b"]}),
        ({"web": ["./ä:/a"]}, {"web": ["./ä:/a", "./ö:/b"]}),
    ],
)
def test_different_folders_never_share_a_volume(
    first: dict[str, list[str]], second: dict[str, list[str]], tmp_path: Path
) -> None:
    services = {name: {"image": "a", "volumes": volumes} for name, volumes in {**first, **second}.items()}
    found = app(tmp_path, {"services": services})
    used = [
        mount.volume
        for service in found.services.values()
        for mount in service.mounts
        if isinstance(mount, VolumeMount)
    ]
    assert len(used) == len(set(used))


def test_a_folder_never_takes_the_name_of_a_declared_volume(tmp_path: Path) -> None:
    found, _ = read_service(tmp_path, {"volumes": ["./data:/a", "web-data:/b"]}, top={"volumes": {"web-data": None}})
    first, second = found.mounts
    assert isinstance(first, VolumeMount)
    assert isinstance(second, VolumeMount)
    assert first.volume != second.volume


@pytest.mark.parametrize(
    "files", [{f"conf/{number}": "x" for number in range(501)}, {"conf/large": b"x" * (5 * MEBIBYTE + 1)}]
)
def test_what_is_too_large_for_configuration_is_refused(files: Any, tmp_path: Path) -> None:
    assert "too large" in refused(tmp_path, "./conf:/conf:ro", files=files)


def test_what_is_just_not_too_large_is_copied(tmp_path: Path) -> None:
    files = {f"conf/{number:03}": b"x" * 10000 for number in range(500)}
    assert len(file_mount(tmp_path, "./conf:/conf:ro", files=files).files) == 500


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path, {"conf/a": "1"})

    def refuse(*_: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "may not be read" in refused(tmp_path, "./conf:/conf:ro")


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path, {"conf/a": "1"})

    def refuse(*_: object) -> object:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    refused(tmp_path, "./conf:/conf:ro")


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_neither_a_file_nor_a_folder_is_refused(kind: str, tmp_path: Path) -> None:
    special = tmp_path / "special"
    if kind == "fifo":
        os.mkfifo(special)
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(special))
    assert "neither a file nor a folder" in refused(tmp_path, "./special:/x:ro")


@pytest.mark.parametrize("kind", ["fifo", "dangling link"])
def test_what_is_no_file_inside_a_folder_is_refused(kind: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"conf/a": "1"})
    if kind == "fifo":
        os.mkfifo(tmp_path / "conf/pipe")
    else:
        (tmp_path / "conf/link").symlink_to("nowhere")
    refused(tmp_path, "./conf:/conf:ro")


def test_a_link_to_a_file_is_copied_as_the_file(tmp_path: Path) -> None:
    folder_with(tmp_path, {"real.conf": "x"})
    (tmp_path / "link.conf").symlink_to("real.conf")
    assert file_mount(tmp_path, "./link.conf:/x:ro").files == {"": b"x"}


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_that_leads_out_of_its_folder_is_not_followed(relative: bool, tmp_path: Path) -> None:
    folder_with(tmp_path, {"outside/key.pem": "private", "app/conf/a": "1"})
    (tmp_path / "app/conf/link").symlink_to("../../outside/key.pem" if relative else tmp_path / "outside/key.pem")
    found, around = read_service(tmp_path / "app", {"volumes": ["./conf:/conf:ro"]})
    assert around.problems or b"private" not in [content for mount in found.mounts for content in mount.files.values()]  # type: ignore[union-attr]


def test_a_linked_folder_inside_a_folder_is_copied_or_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, {"conf/real/a": "1"})
    (tmp_path / "conf/linked").symlink_to("real")
    found, around = read_service(tmp_path, {"volumes": ["./conf:/conf:ro"]})
    assert around.problems or "linked/a" in found.mounts[0].files  # type: ignore[union-attr]


@pytest.mark.parametrize("written", [".:/app:ro", "./:/app", "../deployment:/app:ro"])
def test_secrets_beside_the_compose_file_are_never_copied(written: str, tmp_path: Path) -> None:
    folder = tmp_path / "deployment"
    files = {
        "secrets/recovery.key": "AAAA",
        "secrets/compose/values/TOKEN": "t",
        "rendered/compose/x": "x",
        "code.py": "x",
        "moorage.yaml": "name: a",
    }
    found, around = read_service(folder, {"volumes": [written]}, files=files)
    copied = {name for mount in found.mounts if isinstance(mount, FileMount) for name in mount.files}
    assert around.problems or not any(name.startswith(("secrets/", "rendered/")) for name in copied)


def test_a_file_that_only_its_owner_may_read_stays_private(tmp_path: Path) -> None:
    folder_with(tmp_path, {"certs/key.pem": "private"})
    (tmp_path / "certs/key.pem").chmod(0o600)
    found, around = read_service(tmp_path, {"volumes": ["./certs:/certs:ro"]})
    kept = [content for mount in found.mounts if isinstance(mount, FileMount) for content in mount.files.values()]
    assert rules_of(around) == []
    assert kept == [Sensitive("private")]


# Paths of the host.


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/run/docker.sock"])
def test_the_docker_socket_is_one_thing(source: str, tmp_path: Path) -> None:
    assert mounts(tmp_path, f"{source}:/var/run/docker.sock:ro") == (
        HostMount("/var/run/docker.sock", "/var/run/docker.sock", True),
    )


def test_the_time_of_the_host_is_harmless(tmp_path: Path) -> None:
    assert mounts(tmp_path, "/etc/localtime:/etc/localtime") == (HostMount("/etc/localtime", "/etc/localtime", True),)


@pytest.mark.parametrize(
    "source",
    [
        "/etc",
        "/",
        "/var/run",
        "/etc/localtime/../passwd",
        "/var/run/../run/docker.sock",
        "//var/run/docker.sock",
        "/opt/x",
    ],
)
def test_any_other_path_of_the_host_is_refused(source: str, tmp_path: Path) -> None:
    assert "a path of the host" in refused(tmp_path, f"{source}:/x")
    assert "a path of the host" in refused(tmp_path, {"type": "bind", "source": source, "target": "/x"})


def test_the_operator_may_allow_a_path_of_the_host(tmp_path: Path) -> None:
    assert mounts(tmp_path, "/opt/x:/x", allowed_host_paths=("/opt/x",)) == (HostMount("/opt/x", "/x", False),)
    assert "a path of the host" in refused(tmp_path, "/opt/x/y:/x", allowed_host_paths=("/opt/x",))


# Configs and secrets.


def objects(folder: Path, key: str, used: Any, declared: Any, **more: Any) -> FileMount:
    found, around = read_service(folder, {key: [used]}, top={key: declared}, **more)
    assert rules_of(around) == []
    (mount,) = found.mounts
    assert isinstance(mount, FileMount)
    return mount


def test_a_config_is_mounted_at_the_root_and_a_secret_below_run(tmp_path: Path) -> None:
    files = {"c.conf": "c", "s.txt": "s"}
    config = objects(tmp_path, "configs", "c", {"c": {"file": "./c.conf"}}, files=files)
    assert (config.target, dict(config.files)) == ("/c", {"": b"c"})
    secret = objects(tmp_path, "secrets", "s", {"s": {"file": "./s.txt"}}, files=files)
    assert (secret.target, dict(secret.files)) == ("/run/secrets/s", {"": Sensitive("s")})


def test_the_long_form_names_target_and_owner(tmp_path: Path) -> None:
    declared = {"s": {"content": "x"}}
    assert objects(tmp_path, "secrets", {"source": "s", "target": "other"}, declared).target == "/run/secrets/other"
    assert objects(tmp_path, "secrets", {"source": "s", "target": "/etc/x", "uid": "1000"}, declared).target == "/etc/x"
    assert objects(tmp_path, "secrets", {"source": "s", "uid": 1000}, declared).owner == 1000


def test_inline_content_and_variables_are_filled_in_and_secrets_stay_secret(tmp_path: Path) -> None:
    values = {"P": "plain", "S": Sensitive("t0p")}
    assert objects(tmp_path, "configs", "c", {"c": {"content": "a=${P}"}}, values=values).files == {"": "a=plain"}
    assert objects(tmp_path, "configs", "c", {"c": {"content": "a=${S}"}}, values=values).files == {
        "": Sensitive("a=t0p")
    }
    assert objects(tmp_path, "configs", "c", {"c": {"environment": "S"}}, values=values).files == {"": Sensitive("t0p")}
    assert objects(tmp_path, "secrets", "c", {"c": {"environment": "P"}}, values=values).files == {
        "": Sensitive("plain")
    }


def test_a_secret_file_of_any_bytes_is_kept(tmp_path: Path) -> None:
    content = bytes(range(256))
    mount = objects(tmp_path, "secrets", "s", {"s": {"file": "s"}}, files={"s": content})
    kept = mount.files[""]
    assert isinstance(kept, Sensitive)
    assert kept.reveal().encode("utf-8", "surrogateescape") == content


@pytest.mark.parametrize(
    ("used", "declared", "words"),
    [
        ("x", {"c": {"content": "a"}}, "not under"),
        ("c", {"c": {"file": "missing"}}, "does not exist"),
        ("c", {"c": {}}, "needs `file`"),
        ("c", {"c": {"external": True}}, "not supported"),
        ("c", {"c": {"environment": "NOBODY"}}, "NOBODY"),
        ("c", {"c": {"nonsense": 1, "content": "x"}}, "not a key"),
    ],
)
@pytest.mark.parametrize("key", ["configs", "secrets"])
def test_what_is_no_config_or_secret_is_refused(key: str, used: str, declared: Any, words: str, tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {key: [used]}, top={key: declared})
    assert any(words in rule for rule in rules_of(around))


@pytest.mark.parametrize("more", [{"mode": 0o440}, {"uid": "www-data"}, {"gid": "1000"}, {"nonsense": 1}])
def test_the_keys_of_a_mounted_secret_are_kept_or_refused(more: Any, tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"secrets": [{"source": "s", **more}]}, top={"secrets": {"s": {"content": "x"}}})
    assert around.problems or around.notices


def test_a_name_for_files_is_safe_in_any_path() -> None:
    for text in ("../../etc/passwd", "ä", "", "A B", "a" * 300, ".", "-x-"):
        name = slug(text)
        assert name
        assert "/" not in name
        assert not name.startswith((".", "-"))


# Data and volumes that are made for it.


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ("./pg:/var/lib/postgresql/data:ro", {"pg/PG_VERSION": "16"}),
        ("./pg:/source:ro", {"pg/base/1/2": "x", "pg/PG_VERSION": "16"}),
        ("./conf:/conf", {"conf/site.sqlite3": "x"}),
        ("./cache:/data:ro", {"cache/dump.rdb": "x"}),
        ("./app:/data", {"app/x": "x"}),
        ("./app:/config", {"app/x": "x"}),
        ("./app:/var/lib/ghost/content", {"app/x": "x"}),
        ("./app.db:/app/app.db", {"app.db": "x"}),
        ("./site:/app/site", {"site": b"SQLite format 3\0 and more"}),
        ("./acme.json:/acme.json", {"acme.json": "{}"}),
    ],
)
def test_data_is_never_frozen_as_a_copy(written: str, files: dict[str, str | bytes], tmp_path: Path) -> None:
    assert "holds data" in refused(tmp_path, written, files=files)


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ("./nginx/conf.d:/etc/nginx/conf.d", {"nginx/conf.d/default.conf": "x"}),
        ("./html:/usr/share/nginx/html:ro", {"html/index.html": "x"}),
        ("./geo:/geo:ro", {"geo/places.sqlite": "x"}),
        ("./prometheus.yml:/etc/prometheus/prometheus.yml", {"prometheus.yml": "x"}),
    ],
)
def test_configuration_is_copied(written: str, files: dict[str, str | bytes], tmp_path: Path) -> None:
    assert len(file_mount(tmp_path, written, files=files).files) == 1


def test_the_way_of_data_into_a_volume_is_told_as_a_command(tmp_path: Path) -> None:
    _, around = read_service(
        tmp_path, {"volumes": ["./my data/pgdata:/var/lib/x"]}, files={"my data/pgdata/PG_VERSION": "16"}
    )
    (problem,) = around.problems
    assert "-v \"$PWD\"/'my data/pgdata':/from:ro -v pgdata:/to busybox" in problem.hint
    assert "mount `pgdata:/var/lib/x` and add `pgdata: {external: true}` under `volumes`" in problem.hint


@pytest.mark.parametrize("order", [1, -1])
def test_a_folder_gets_the_same_volume_whatever_the_order_of_the_services(order: int, tmp_path: Path) -> None:
    services = [
        ("web", {"image": "a", "volumes": ["./uploads:/srv/uploads"]}),
        ("proxy", {"image": "a", "volumes": ["./uploads:/usr/share/nginx/uploads:ro"]}),
    ]
    found = app(tmp_path, {"services": dict(services[::order])})
    assert rules_of(found) == []
    assert found.services["web"].mounts == (VolumeMount("folder-uploads", "/srv/uploads"),)
    assert found.services["proxy"].mounts == (VolumeMount("folder-uploads", "/usr/share/nginx/uploads", True),)


def test_a_folder_that_another_service_fills_is_no_configuration(tmp_path: Path) -> None:
    services = {
        "web": {"image": "a", "volumes": ["./data:/srv"]},
        "proxy": {"image": "a", "volumes": [{"type": "bind", "source": "data", "target": "/x", "read_only": True}]},
    }
    found = app(tmp_path, {"services": services}, files={"data/x": "1"})
    assert [problem.rule for problem in found.problems] == ["holds data on this host that the app writes"] * 2


def test_a_folder_inside_of_another_volume_is_refused(tmp_path: Path) -> None:
    services = {
        "web": {"image": "a", "volumes": ["./store:/srv"]},
        "worker": {"image": "a", "volumes": ["./store/in:/in"]},
    }
    (problem,) = app(tmp_path, {"services": services}).problems
    assert "mounted as a whole elsewhere" in problem.rule


@pytest.mark.parametrize(
    ("services", "volumes"),
    [
        ({"web": ["./uploads:/a"]}, {"folder-uploads": None}),
        ({"web": ["/cache"]}, {"web-cache": None}),
        ({"web": ["./a.b:/a", "./a-b:/b"]}, {}),
        ({"web": ["/b/c"], "web-b": ["/c"]}, {}),
    ],
)
def test_a_made_up_name_that_is_taken_is_refused(
    services: dict[str, list[str]], volumes: dict[str, None], tmp_path: Path
) -> None:
    content = {name: {"image": "a", "volumes": mounted} for name, mounted in services.items()}
    (problem,) = app(tmp_path, {"services": content, "volumes": volumes}).problems
    assert "a name that is taken" in problem.rule


def test_a_folder_that_git_keeps_empty_is_empty(tmp_path: Path) -> None:
    (mount,) = mounts(tmp_path, "./uploads:/srv", files={"uploads/.gitkeep": "", "uploads/2024": None})
    assert mount == VolumeMount("folder-uploads", "/srv")


@pytest.mark.parametrize("written", ["data:/", "./a:/.", {"type": "bind", "target": "/srv"}, "/:ro"])
def test_a_mount_of_nothing_or_over_everything_is_refused(written: Any, tmp_path: Path) -> None:
    refused(tmp_path, written, files={"a": "x"})


def test_the_one_form_of_a_target_is_kept(tmp_path: Path) -> None:
    assert mounts(tmp_path, "data:/srv//x/./y/") == (VolumeMount("data", "/srv/x/y"),)


@pytest.mark.parametrize(
    ("written", "mode"), [("1777", "1777"), ("0700", "0700"), ("0o750", "750"), (0o1777, "1777"), (0, "0")]
)
def test_every_form_of_a_mode_is_octal(written: Any, mode: str, tmp_path: Path) -> None:
    (mount,) = mounts(tmp_path, {"type": "tmpfs", "target": "/t", "tmpfs": {"mode": written}})
    assert isinstance(mount, MemoryMount)
    assert mount.mode == mode


@pytest.mark.parametrize("mode", ["rwx", "888", "0x1ff", 0o10000, True])
def test_a_mode_that_is_none_is_refused(mode: Any, tmp_path: Path) -> None:
    assert "octal" in refused(tmp_path, {"type": "tmpfs", "target": "/t", "tmpfs": {"mode": mode}})


def test_options_of_memory_reach_the_container(tmp_path: Path) -> None:
    (mount,) = read_service(tmp_path, {"tmpfs": "/run:size=1m,uid=1000,noexec"})[0].mounts
    assert mount == MemoryMount("/run", MEBIBYTE, "", ("uid=1000", "noexec"))


@pytest.mark.parametrize("kind", ["a link back", "a name of bytes"])
def test_what_would_never_end_or_could_not_be_written_is_refused(kind: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"conf/sub/a": "1"})
    if kind == "a link back":
        (tmp_path / "conf/sub/back").symlink_to("..")
    else:
        Path(os.fsdecode(bytes(tmp_path / "conf") + b"/\xff")).write_text("x")
    refused(tmp_path, "./conf:/conf:ro")


def test_one_name_for_two_copies_of_a_service_gets_a_mark(tmp_path: Path) -> None:
    first, second = mounts(tmp_path, "./a.conf:/x:ro", "./a.conf:/y:ro", files={"a.conf": "1"})
    assert isinstance(first, FileMount)
    assert isinstance(second, FileMount)
    assert first.name == "a-conf"
    assert second.name.startswith("a-conf-")


@pytest.mark.parametrize("key", ["configs", "secrets"])
def test_a_config_that_only_its_owner_may_read_stays_private(key: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"c.conf": "private"})
    (tmp_path / "c.conf").chmod(0o600)
    assert objects(tmp_path, key, "c", {"c": {"file": "./c.conf"}}).files == {"": Sensitive("private")}


def test_a_config_that_is_a_program_can_be_run(tmp_path: Path) -> None:
    declared = {"c": {"content": "#!/bin/sh"}}
    assert objects(tmp_path, "configs", {"source": "c", "mode": 0o555}, declared).executable == {""}
    assert objects(tmp_path, "configs", {"source": "c", "mode": 0o444}, declared).executable == frozenset()


def test_empty_folders_in_a_copy_are_told(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {"conf/a": "1", "conf/sites/on": None}
    _, around = read_service(tmp_path, {"volumes": ["./conf:/conf:ro"]}, files=files)
    assert [notice.text for notice in around.notices] == ["empty folders are left out of the copy of ./conf: sites/on"]
