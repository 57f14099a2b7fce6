"""From one environment of a deployment to another: secrets that data need, and as what a backup comes up."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage import flow
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError, MoorageError
from moorage.operations.bare_landing import carry_secrets, landing
from moorage.operations.moving import copy_secrets, differing_secrets, refuse_other_secrets, refuse_unapplied
from moorage.operations.rendering import write_rendering
from moorage.recovery_key import make_recovery_key
from moorage.sensitive import Sensitive

KEY = make_recovery_key(bytes(range(32)))
OWN = ("NOTES_ENCRYPTION_KEY", "SECRET_KEY")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A server `compose` and a cluster `beta`, each with secrets of its own."""
    content: dict[str, Any] = {
        "name": "acme",
        "app": "notes",
        "domain": "notes.example.com",
        "tls": {"mode": "off"},
        "environments": {"beta": {"target": "eks", "images": {"registry": "registry.example.com/acme"}}},
    }
    (tmp_path / "moorage.yaml").write_text(yaml.safe_dump(content))
    for name in ("compose", "beta"):
        flow.open_deployment(tmp_path, name, write_secrets=True, may_lack_secrets=True)
    return tmp_path


def value(folder: Path, environment: str, name: str) -> str:
    found = SecretStore(folder, environment).read(name)
    assert found is not None
    return found.reveal()


def test_only_the_secrets_of_the_app_are_compared_and_copied(folder: Path) -> None:
    assert set(differing_secrets(folder, "compose", "beta")) == set(OWN)
    password = value(folder, "beta", "POSTGRES_PASSWORD")
    assert copy_secrets(folder, "compose", "beta", Console(quiet=True), lambda _: True) == 0
    assert differing_secrets(folder, "compose", "beta") == ()
    refuse_other_secrets(folder, "compose", "beta")
    assert value(folder, "beta", "POSTGRES_PASSWORD") == password != value(folder, "compose", "POSTGRES_PASSWORD")
    assert copy_secrets(folder, "compose", "beta", Console(quiet=True), pytest.fail) == 0


def test_who_says_no_keeps_what_was_there(folder: Path) -> None:
    asked: list[str] = []
    before = [value(folder, "beta", name) for name in OWN]
    assert copy_secrets(folder, "compose", "beta", Console(quiet=True), lambda text: bool(asked.append(text))) == 1
    assert [value(folder, "beta", name) for name in OWN] == before
    assert "what the app encrypted in beta with the old value can't be read afterwards" in asked[0]


def test_other_secrets_are_refused_with_both_ways_out(folder: Path) -> None:
    with pytest.raises(MoorageError, match=r"of beta are not what compose has: .*; nothing was changed") as caught:
        refuse_other_secrets(folder, "compose", "beta")
    assert "`moorage secrets copy --from compose -e beta`, `moorage up -e beta`" in caught.value.hint
    assert "--keep-secrets" in caught.value.hint
    assert not [text for name in OWN for text in (value(folder, "beta", name),) if text in str(caught.value)]


def test_secrets_that_are_not_here_can_not_be_compared(folder: Path) -> None:
    for path in (folder / "secrets/compose/values").iterdir():
        path.unlink()
    with pytest.raises(MoorageError, match="of compose, whose secrets are not in this folder"):
        refuse_other_secrets(folder, "compose", "beta")


@pytest.mark.parametrize(
    ("origin", "wanted", "environment", "project"),
    [("compose", "", "compose", "acme"), ("beta", "compose", "compose", "acme")],
)
def test_a_backup_comes_up_as_a_server(folder: Path, origin: str, wanted: str, environment: str, project: str) -> None:
    found = landing(folder, {"environment": origin}, wanted)
    assert (found.environment, found.project) == (environment, project)


@pytest.mark.parametrize(("origin", "wanted"), [("beta", ""), ("compose", "beta")])
def test_a_cluster_does_not_come_up_on_a_bare_machine(folder: Path, origin: str, wanted: str) -> None:
    with pytest.raises(InputError, match="beta is for a cluster; `restore --bare` brings up a server") as caught:
        landing(folder, {"environment": origin}, wanted)
    assert "`-e compose`" in caught.value.hint


def test_an_environment_that_the_backup_does_not_know_is_refused(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        landing(folder, {"environment": "beta"}, "production")
    assert "production" in str([str(problem) for problem in caught.value.problems])


def test_the_data_of_a_cluster_come_with_its_keys_and_the_folder_has_modes_of_its_own(folder: Path) -> None:
    """As a cluster gives it back: read-only, without the recovery key, with the secrets of that environment alone."""
    (folder / "secrets/recovery.key").unlink()
    (folder / "start.sh").write_text("#!/bin/sh\nexec web\n")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o400)
    wanted = [value(folder, "beta", name) for name in OWN]
    own = value(folder, "compose", "POSTGRES_PASSWORD")
    carry_secrets(folder, "beta", "compose", Sensitive(KEY), Console(quiet=True))
    assert (folder / "secrets/recovery.key").read_text().strip() == KEY
    assert [value(folder, "compose", name) for name in OWN] == wanted
    assert value(folder, "compose", "POSTGRES_PASSWORD") == own
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("moorage.yaml", "start.sh", "secrets")}
    assert modes == {"moorage.yaml": 0o644, "start.sh": 0o755, "secrets": 0o700}
    secrets = [path for path in (folder / "secrets").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_a_server_comes_up_with_what_it_had(folder: Path) -> None:
    before = [value(folder, "compose", name) for name in OWN]
    carry_secrets(folder, "compose", "compose", Sensitive(KEY), Console(quiet=True))
    assert [value(folder, "compose", name) for name in OWN] == before


def test_secrets_that_nobody_has_applied_yet_are_refused(folder: Path) -> None:
    write_rendering(folder, "beta", Console(quiet=True), dry_run=False)
    refuse_unapplied(folder, "beta")
    copy_secrets(folder, "compose", "beta", Console(quiet=True), lambda _: True)
    with pytest.raises(MoorageError, match="secrets of beta were changed since the last `moorage up`"):
        refuse_unapplied(folder, "beta")
