"""The units of one deployment, on a host that has others."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage import flow
from moorage.console import Console
from moorage.targets.compose import units
from moorage.targets.compose.place import Place, load_facts
from tests.unit.given import SETTINGS, deployment

COMPOSE = {
    "x-moorage": {"jobs": {"clean": {"service": "web", "command": ["c"], "schedule": "0 3 * * *"}}},
    "services": {"web": {"image": "x", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}},
}


def rendered(folder: Path, name: str = "acme") -> Place:
    """A deployment whose files are written."""
    found = deployment(folder, COMPOSE, base=SETTINGS.replace("acme", name))
    flow.render(found.stack).public.write(found.rendered_folder)
    return Place(folder, "compose")


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A folder for units of this test's own; gives what systemctl was asked for."""
    asked: list[str] = []
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(units, "UNIT_FOLDER", tmp_path / "units")
    monkeypatch.setattr(units, "run", lambda command, **_: asked.append(" ".join(command)))
    monkeypatch.setattr(units.os, "geteuid", lambda: 0)
    real = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda self: str(self) == "/run/systemd/system" or real(self))
    return asked


def install(place: Place) -> None:
    units.install(place, load_facts(place.rendered), Console(quiet=True))


def names(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "units").iterdir()}


NIGHT = {"moorage-acme.backup.service", "moorage-acme.backup.timer"}
ACME = {"moorage-acme.service", "moorage-acme.clean.service", "moorage-acme.clean.timer", *NIGHT}
STAGING = {name.replace("acme", "acme-staging") for name in ACME}


def test_units_are_installed_once_and_removed_with_the_project(tmp_path: Path, commands: list[str]) -> None:
    place = rendered(tmp_path / "acme")
    install(place)
    assert names(tmp_path) == ACME
    assert "systemctl enable --now moorage-acme.clean.timer" in commands
    assert "systemctl enable --now moorage-acme.backup.timer" in commands
    commands.clear()
    install(place)
    assert commands == []
    units.remove(load_facts(place.rendered), Console(quiet=True))
    assert names(tmp_path) == set()


def test_a_project_with_a_longer_name_keeps_its_units(tmp_path: Path, commands: list[str]) -> None:
    acme, staging = rendered(tmp_path / "acme"), rendered(tmp_path / "staging", "acme-staging")
    install(staging)
    install(acme)
    assert names(tmp_path) == ACME | STAGING
    units.remove(load_facts(acme.rendered), Console(quiet=True))
    assert names(tmp_path) == STAGING
    assert not [command for command in commands if "disable" in command and "staging" in command]


def test_a_unit_of_another_deployment_is_never_overwritten(tmp_path: Path, commands: list[str]) -> None:
    other = tmp_path / "units" / "moorage-acme.clean.service"
    other.write_text("[Unit]\nDescription=moorage stack acme-clean\n")
    install(rendered(tmp_path / "acme"))
    assert other.read_text() == "[Unit]\nDescription=moorage stack acme-clean\n"
    assert names(tmp_path) == ACME
    assert "systemctl disable --now moorage-acme.clean.service" not in commands


def test_a_job_that_is_gone_takes_its_timer_along(tmp_path: Path, commands: list[str]) -> None:
    place = rendered(tmp_path / "acme")
    install(place)
    for kind in ("service", "timer"):
        (place.rendered / "host" / "systemd" / f"moorage-acme.clean.{kind}").unlink()
    install(place)
    assert names(tmp_path) == {"moorage-acme.service", *NIGHT}
    assert "systemctl disable --now moorage-acme.clean.timer" in commands


def test_a_path_with_signs_of_systemd_arrives_as_it_is(tmp_path: Path) -> None:
    place = rendered(tmp_path / "100% ours")
    unit = units.finished_units(place)["moorage-acme.service"]
    assert f"WorkingDirectory={tmp_path}/100%% ours/rendered/compose/compose\n" in unit
    assert f"Documentation=file://{tmp_path}/100%%25%%20ours/rendered/compose/README.md\n" in unit


def test_a_job_takes_the_name_of_no_other_project_s_stack(tmp_path: Path, commands: list[str]) -> None:
    """The job `clean` of `acme`, and a deployment `acme-clean`."""
    places = [rendered(tmp_path / name, name) for name in ("acme", "acme-clean")]
    for place in places:
        install(place)
    assert len(names(tmp_path)) == 2 * len(ACME)
    units.remove(load_facts(places[0].rendered), Console(quiet=True))
    assert not names(tmp_path) & ACME
    assert len(names(tmp_path)) == len(ACME)
    assert commands


def test_units_of_the_old_names_go(tmp_path: Path, commands: list[str]) -> None:
    place = rendered(tmp_path / "acme")
    for kind in ("service", "timer"):
        text = units.finished_units(place)[f"moorage-acme.clean.{kind}"]
        (tmp_path / "units" / f"moorage-acme-clean.{kind}").write_text(text)
    install(place)
    assert names(tmp_path) == ACME
    assert "systemctl disable --now moorage-acme-clean.timer" in commands
