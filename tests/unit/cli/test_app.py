"""The one place that catches errors: whatever happens is a message, a next step and an exit status."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from moorage import flow
from moorage.cli.app import main
from moorage.config.secrets import SecretStore
from tests.unit.given import SETTINGS, WEB, folder_with

SECRET = "correct-horse-battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_with(tmp_path, {"moorage.yaml": SETTINGS, "compose.yaml": WEB})


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return int(str(stopped.value.code))


@pytest.mark.parametrize(
    ("number", "reason", "next_step"),
    [
        (errno.ENOSPC, "No space left on device", "free some room"),
        (errno.EACCES, "Permission denied", "as the owner of the deployment folder"),
        (errno.EROFS, "Read-only file system", "mounted read-only"),
        (errno.ELOOP, "Too many levels of symbolic links", "look at that file or folder"),
    ],
)
def test_what_the_system_refuses_names_the_file_the_reason_and_a_next_step(
    number: int,
    reason: str,
    next_step: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(flow, "open_deployment", failing(OSError(number, os.strerror(number), "/srv/acme/x")))
    assert run("-C", str(folder), "render") == 1
    errors = capsys.readouterr().err
    assert f"/srv/acme/x: {reason}" in errors
    assert next_step in errors
    assert "Traceback" not in errors


def test_an_error_that_only_looks_like_the_systems_is_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flow, "open_deployment", failing(jinja2.TemplateNotFound("host/unit.j2")))
    assert run("-C", str(folder), "render") == 1
    assert "moorage made a mistake (TemplateNotFound" in capsys.readouterr().err


def test_a_mistake_of_ours_shows_where_it_is_and_no_value(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        password = SECRET
        try:
            {}[password]
        except KeyError as error:
            raise ValueError(f"no {password}") from error

    monkeypatch.setattr(flow, "open_deployment", fail)
    assert run("-C", str(folder), "render") == 1
    short = capsys.readouterr()
    assert run("-C", str(folder), "render", "--verbose") == 1
    long = capsys.readouterr()
    assert run("-C", str(folder), "--json", "render") == 1
    data = json.loads(capsys.readouterr().out)
    assert "moorage made a mistake (ValueError at cli/test_app.py:" in short.err
    assert "`moorage --version`" in short.err
    assert "`--verbose`" in short.err
    assert "KeyError at cli/test_app.py:" in long.err
    assert "operations/rendering.py:" in long.err
    assert data["ok"] is False
    for text in (short.out + short.err, long.out + long.err, str(data)):
        assert SECRET not in text
        assert "Traceback" not in text


def test_secrets_of_another_user_are_not_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = SecretStore(folder, "compose").values_folder
    listed = os.listdir

    def closed(place: Any = ".") -> Any:
        if Path(place) == values:
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(os, "listdir", closed)
    assert run("-C", str(folder), "secrets", "list") == 1
    errors = capsys.readouterr().err
    assert f"{values} may not be read by this user" in errors
    assert "as the owner of that folder" in errors


ENVIRONMENTS = f"{SETTINGS}environments: {{grown: {{target: eks}}}}\nbackups: {{}}\nprojects: {{enabled: true}}\n"


@pytest.mark.parametrize(("words", "status"), [(("plan",), 2), (("check",), 1), (("up",), 1), (("up", "--dry-run"), 0)])
def test_an_environment_without_a_cluster_says_so_and_nothing_is_written(
    words: tuple[str, ...],
    status: int,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(folder / "none"))
    programs = folder.parent / f"{folder.name}-programs"
    programs.mkdir(exist_ok=True)
    (programs / "kustomize").write_text("#!/bin/sh\n")
    (programs / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    (folder / "moorage.yaml").write_text(ENVIRONMENTS)
    assert run("-C", str(folder), *words, "-e", "grown") == status
    errors = capsys.readouterr().err
    assert "environment grown does not say which cluster it is for" in errors
    assert "environments.grown.kubernetes.context" in errors
    assert not (folder / "rendered").exists()
    assert not (folder / "secrets").exists()


def test_one_server_has_no_context(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "moorage.yaml").write_text(ENVIRONMENTS)
    assert run("-C", str(folder), "check", "--context", "x") == 2
    assert "this environment is for one server, which has no context" in capsys.readouterr().err


def test_validate_says_once_what_has_no_effect_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "moorage.yaml").write_text(ENVIRONMENTS)
    assert run("-C", str(folder), "validate") == 0
    errors = capsys.readouterr().err
    assert "moorage.yaml is right (compose, grown)" in errors
    for text in ("backups: go to the folder", "projects: has no effect"):
        assert errors.count(text) == 1
    (folder / "moorage.yaml").write_text(SETTINGS)
    assert run("-C", str(folder), "validate") == 0
    assert "has no effect" not in capsys.readouterr().err


def test_a_listed_secret_whose_value_an_env_file_gives_is_not_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compose = (
        "services:\n  web:\n    image: nginx\n    env_file: app.env\n    x-moorage: {port: 80, route: {paths: [/]}}\n"
    )
    files = {"moorage.yaml": f"{SETTINGS}secrets: [API_KEY, OTHER]\n", "compose.yaml": compose}
    folder_with(folder, {**files, "app.env": f"API_KEY={SECRET}\n"})
    assert run("-C", str(folder), "--json", "secrets", "list") == 0
    output = capsys.readouterr().out
    states = {row["name"]: row["state"] for row in json.loads(output)}
    assert states["API_KEY"] == "set in an env file"
    assert states["OTHER"] == "missing"
    assert SECRET not in output


@pytest.mark.parametrize("is_terminal", [True, False])
def test_logs_carry_no_signs_for_a_terminal_where_none_is(
    is_terminal: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moorage.targets.compose.docker import Docker

    asked: list[tuple[tuple[str, ...], bool]] = []
    monkeypatch.setattr(Docker, "compose_attached", lambda _, *words, is_plain: asked.append((words, is_plain)) or 0)
    assert run("-C", str(folder), "render") == 0
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    assert run("-C", str(folder), "logs", "web") == 0
    ((words, is_plain),) = asked
    assert is_plain is not is_terminal
    assert ("--no-color" in words) is not is_terminal
    assert words[-1] == "web"
