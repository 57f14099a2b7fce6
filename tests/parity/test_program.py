"""`moorage parity` and `moorage render --all` as a person runs them, on real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need
from tests.parity.deployments import kustomize, write_case


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(bool(kustomize()), "kustomize")
    folder = tmp_path_factory.mktemp("site")
    write_case("notes", folder)
    return folder


@pytest.fixture
def copy(site: Path, tmp_path: Path) -> Path:
    shutil.copytree(site, tmp_path / "site")
    return tmp_path / "site"


def moorage(folder: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    where = path or f"{Path(kustomize()).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "moorage", "-C", str(folder), *arguments],
        env={**os.environ, "PATH": where},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_says_that_all_environments_are_the_same_app(copy: Path) -> None:
    answer = moorage(copy, "parity")
    assert answer.returncode == 0, answer.stderr
    assert "compose, minikube, eks-beta and eks-production are the same app" in answer.stderr
    assert "HTTP only" in answer.stdout
    assert "0 that nobody explains" in answer.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "subject", "field", "values"),
    [
        ("compose/compose/compose.yaml", "SITE_NAME: Notes", "SITE_NAME: Jottings", "service web", "environment.SITE_NAME", ("Jottings", "Notes")),
        ("compose/compose/compose.yaml", "retries: 3", "retries: 4", "service web", "health.retries", ("4", "3")),
        ("compose/compose/postgres/postgresql.conf", "max_connections = '100'", "max_connections = '90'", "database", "parameter.max_connections", ("90", "100")),
        ("compose/compose/traefik/dynamic/routes.yaml", "priority: 100010", "priority: 100020", "route ${DOMAIN} below /", "priority", ("100020", "100010")),
        ("minikube/k8s/base/network.yaml", "moorage/network.data: member", "moorage/network.date: member", "network", "service web → database", ("every port", "nothing")),
        ("minikube/k8s/base/config/web-config.env", "SITE_NAME=Notes\n", "", "service web", "environment.SITE_NAME", ("Notes", "nothing")),
        ("minikube/k8s/base/service-web.yaml", "path: /live", "path: /alive", "service web", "health.live.question", ("/live", "/alive")),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_both_values(
    copy: Path, file: str, old: str, new: str, subject: str, field: str, values: tuple[str, str]
) -> None:
    place = copy / "rendered" / file
    text = place.read_text(encoding="utf-8")
    assert old in text
    place.write_text(text.replace(old, new), encoding="utf-8")
    answer = moorage(copy, "parity")
    assert answer.returncode == 1
    lines = [line for line in answer.stderr.splitlines() if f"{subject}: {field}: " in line]
    assert len(lines) == 1, answer.stderr
    assert all(value in lines[0] for value in values)
    assert "edited by hand" in answer.stderr


def test_json_has_every_row_and_names_of_environments(copy: Path) -> None:
    answer = moorage(copy, "--json", "parity", "-e", "compose", "-e", "minikube")
    content = json.loads(answer.stdout)
    assert content["ok"] is True
    assert content["environments"] == ["compose", "minikube"]
    image = [row for row in content["rows"] if (row["subject"], row["field"]) == ("service web", "image")]
    assert image == [
        {
            "subject": "service web",
            "field": "image",
            "values": {"compose": "notes:latest", "minikube": "notes:latest"},
            "verdict": "same",
            "reasons": [],
            "unexplained": [],
        }
    ]


def test_the_page_stands_alone(copy: Path) -> None:
    answer = moorage(copy, "parity", "--html", str(copy / "parity.html"))
    assert answer.returncode == 0
    text = (copy / "parity.html").read_text(encoding="utf-8")
    assert "They are the same app." in text
    assert "<summary>service web" in text
    for outside in ("src=", "href=", "@import", "url("):
        assert outside not in text


def test_a_folder_that_is_not_rendered_is_told_with_the_command(copy: Path) -> None:
    shutil.rmtree(copy / "rendered" / "eks-beta")
    answer = moorage(copy, "parity")
    assert answer.returncode == 1
    assert "eks-beta is not rendered yet" in answer.stderr
    assert "moorage render -e eks-beta" in answer.stderr


def test_a_render_that_was_cut_off_is_told(copy: Path) -> None:
    place = copy / "rendered" / "minikube" / "manifest.json"
    content = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps({**content, "pending": {"k8s/base/jobs.yaml": "0"}}), encoding="utf-8")
    answer = moorage(copy, "parity")
    assert answer.returncode == 1
    assert "half written" in answer.stderr


def test_without_kustomize_it_says_what_to_install(copy: Path, tmp_path: Path) -> None:
    answer = moorage(copy, "parity", path=str(tmp_path))
    assert answer.returncode == 1
    assert "neither `kustomize` nor `kubectl` is installed" in answer.stderr


def test_render_all_compares_what_it_wrote(copy: Path) -> None:
    answer = moorage(copy, "render", "--all")
    assert answer.returncode == 0, answer.stderr
    assert "are the same app" in answer.stderr


def test_one_environment_has_nothing_to_be_held_against(copy: Path) -> None:
    answer = moorage(copy, "parity", "-e", "compose")
    assert answer.returncode == 1
    assert "nothing to hold it against" in answer.stderr
