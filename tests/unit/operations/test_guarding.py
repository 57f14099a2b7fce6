"""`up` never uses the data or takes away the containers of somebody else, and writes nothing before it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage import flow
from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.operations import changing, checking, guarding, observing
from moorage.operations.changing import TakeOver
from moorage.targets.compose import deploy, probe, taken_volumes, waiting
from tests.unit.given import deployment
from tests.unit.targets.compose.engine import Engine, FakeDocker, with_images

COMPOSE: dict[str, Any] = {
    "x-moorage": {"requires": {"postgres": {}}},
    "services": {
        "web": {"image": "web:1", "x-moorage": {"port": 80, "route": {"paths": ["/"]}, "health": {"path": "/h"}}}
    },
}
DATA = "acme_postgres-data"


class Host:
    """A deployment folder and the engine below it, used through `moorage up`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = Engine()
        FakeDocker.engine = self.engine
        self.write()
        scratch = folder / "scratch"
        flow.render(deployment(folder / "other", COMPOSE).stack).public.write(scratch)
        self.engine.images |= with_images(scratch)

    def write(self, settings: str = "") -> flow.Deployment:
        return deployment(self.folder, COMPOSE, settings, write_secrets=False)

    def up(self, *, skip_checks: bool = True, take_over: TakeOver | None = None) -> int:
        return changing.up(
            self.folder, "", Console(quiet=True), build=False, no_cache=False, skip_checks=skip_checks,
            take_over=take_over or TakeOver(),
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        places = (self.folder / "rendered", self.folder / "secrets")
        return {str(path): path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    for module in (deploy, guarding):
        monkeypatch.setattr(module, "Docker", FakeDocker)
    monkeypatch.setattr(changing, "engine_version", lambda: "26")
    monkeypatch.setattr(changing.units, "install", lambda *_: None)
    monkeypatch.setattr(probe, "wait_for", lambda *_, **__: probe.Answer(200, "ok"))
    monkeypatch.setattr(probe, "ask", lambda *_, **__: probe.Answer(200, "ok"))
    for module in (waiting,):
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(waiting, "_QUIET_SECONDS", 0.0)
    return Host(tmp_path)


@pytest.mark.parametrize("owner", ["bbbbbbbbbbbb", ""])
def test_a_foreign_volume_is_refused_even_without_checks_and_before_anything_is_made(owner: str, host: Host) -> None:
    host.engine.owners[DATA] = owner
    with pytest.raises(MoorageError, match="the data of somebody else would be used; nothing was changed") as error:
        host.up()
    assert "moorage up --take-over-volumes" in error.value.hint
    assert host.files() == {}
    assert not [line for line in host.engine.log if line.startswith("compose")]


def test_a_foreign_volume_is_refused_when_nothing_else_changed_too(host: Host) -> None:
    assert host.up() == 0
    host.engine.owners[DATA] = "bbbbbbbbbbbb"
    with pytest.raises(MoorageError, match="somebody else"):
        host.up()


def test_taking_over_wants_the_name_and_is_asked_once(host: Host) -> None:
    assert host.up() == 0
    key = host.folder / "secrets/recovery.key"
    before = flow.open_deployment(host.folder).stack.deployment_id
    host.engine.owners = dict.fromkeys(host.engine.existing_volumes, before)
    key.unlink()
    with pytest.raises(MoorageError, match="its name was not typed") as error:
        host.up(take_over=TakeOver(is_wanted=True, typed_name="other"))
    assert error.value.hint == "moorage up --take-over-volumes --name acme"
    assert not key.exists()
    assert host.up(take_over=TakeOver(is_wanted=True, typed_name="acme")) == 0
    assert host.up() == 0
    assert host.up(take_over=TakeOver(is_wanted=True)) == 0
    found = flow.open_deployment(host.folder)
    assert found.stack.deployment_id != before
    assert checking.needs_of(found).taken_volumes[DATA] == before
    record = host.folder / "secrets/compose/taken-volumes.json"
    assert record.stat().st_mode & 0o777 == 0o600


def test_what_was_taken_over_holds_for_that_owner_and_these_secrets_only(tmp_path: Path) -> None:
    taken_volumes.add(tmp_path, "compose", "ours", {"a": "theirs"})
    taken_volumes.add(tmp_path, "compose", "ours", {"b": ""})
    assert taken_volumes.read(tmp_path, "compose", "ours") == {"a": "theirs", "b": ""}
    assert taken_volumes.read(tmp_path, "compose", "new") == {}
    (tmp_path / "secrets/compose/taken-volumes.json").write_text("{")
    assert taken_volumes.read(tmp_path, "compose", "ours") == {}


def test_another_owner_of_a_volume_that_was_taken_over_is_refused(host: Host) -> None:
    host.engine.owners[DATA] = "bbbbbbbbbbbb"
    assert host.up(take_over=TakeOver(is_wanted=True, typed_name="acme")) == 0
    host.engine.owners[DATA] = "cccccccccccc"
    with pytest.raises(MoorageError, match="somebody else"):
        host.up()


def test_containers_of_another_project_with_that_name_are_left_alone(host: Host) -> None:
    assert host.up() == 0
    (web,) = host.engine.of("web")
    host.engine.containers["theirs"] = replace(
        web, id="theirs", name="acme-shop-1", service="shop", revision="", folder="/srv/shop"
    )
    with pytest.raises(MoorageError, match=r"acme-shop-1 is of another Compose project .* in /srv/shop"):
        host.up()
    assert "theirs" in host.engine.containers
    # One of the operator's own override file, which has no mark of ours, is in our own folder.
    own = str(host.folder / "rendered/compose/compose")
    host.engine.containers["theirs"] = replace(host.engine.containers["theirs"], folder=own)
    assert host.up() == 0


def test_a_change_that_endangers_data_writes_nothing(host: Host) -> None:
    assert host.up() == 0
    host.write("postgres: {version: 16}\n")
    before = host.files()
    with pytest.raises(DeployError, match="would endanger data: Postgres 17 → 16"):
        host.up()
    assert host.files() == before


def test_status_names_damaged_releases(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host.up() == 0
    monkeypatch.setattr(observing, "Docker", FakeDocker)
    monkeypatch.setattr(observing, "engine_version", lambda: "26")
    assert observing.status(host.folder, "compose", Console()) == 0
    (record,) = (host.folder / "releases/compose").glob("0*/release.json")
    record.write_text("{")
    capsys.readouterr()
    assert observing.status(host.folder, "compose", Console()) == 1
    told = capsys.readouterr().err
    assert f"{record} can't be read; this release is left out" in told
    assert "did not finish yet" not in told


def test_lost_secrets_are_not_made_anew_before_the_guard_refuses(host: Host) -> None:
    assert host.up() == 0
    before = flow.open_deployment(host.folder).stack.deployment_id
    host.engine.owners = dict.fromkeys(host.engine.existing_volumes, before)
    shutil.rmtree(host.folder / "secrets")
    with pytest.raises(MoorageError, match="somebody else"):
        host.up()
    assert not (host.folder / "secrets").exists()
