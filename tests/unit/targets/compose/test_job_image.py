"""The job's image: built when something in it changed, and never in the way of a site."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from moorage import flow
from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets import job_recipe
from moorage.targets.compose import deploy, probe, waiting
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.place import Place
from moorage.targets.job_voice import JobResult
from tests.unit.given import deployment
from tests.unit.targets.compose.engine import Engine, FakeDocker, with_images

COMPOSE = {
    "x-moorage": {"requires": {"postgres": {"database": "notes"}}},
    "services": {"web": {"image": "nginx:1.27", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}},
}
IMAGE = "moorage-job/acme:postgres-17-0.1.0"


class Site:
    """A deployment, deployed on an engine in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = Engine()
        FakeDocker.engine = self.engine
        self.write()

    def write(self, settings: str = "") -> None:
        found = deployment(self.folder, COMPOSE, settings)
        rendering = flow.render(found.stack)
        rendering.private.write(found.private_folder)
        rendering.public.write(found.rendered_folder)
        self.engine.images |= with_images(found.rendered_folder, self.engine.images)

    def up(self, *, no_cache: bool = False) -> bool:
        """Whether there is a new release."""
        deployer = Deployer(Place(self.folder, "compose"), Console(quiet=True))
        self.engine.log.clear()
        return deployer.up(UpOptions(self.folder, no_cache=no_cache)) is not None

    def builds(self) -> list[str]:
        return [line for line in self.engine.log if line.startswith("build ")]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(deploy, "Docker", FakeDocker)
    monkeypatch.setattr(probe, "wait_for", lambda *_, **__: probe.Answer(200, "ok"))
    monkeypatch.setattr(probe, "ask", lambda *_, **__: probe.Answer(200, "ok"))
    monkeypatch.setattr(waiting.time, "sleep", lambda _: None)
    monkeypatch.setattr(waiting, "_QUIET_SECONDS", 0.0)
    return Site(tmp_path)


def test_it_is_built_once_before_anything_starts_and_kept_with_the_release(site: Site) -> None:
    assert site.up()
    (build,) = site.builds()
    assert f"--tag {IMAGE}" in build
    assert "--build-arg POSTGRES_IMAGE=postgres:17" in build
    first_start = next(index for index, line in enumerate(site.engine.log) if line.startswith("compose up"))
    assert site.engine.log.index(build) < first_start
    (record,) = (site.folder / "releases/compose").glob("0*/release.json")
    assert IMAGE in json.loads(record.read_text())["images"]
    assert [name for name in site.engine.images if re.match(r"moorage-release/acme/moorage-job-acme-postgres-17", name)]
    assert not site.up()
    assert site.builds() == []


def test_another_database_image_or_package_builds_it_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.up()
    site.engine.images["postgres:17"] = "sha256:a-newer-one"
    site.up()
    assert len(site.builds()) == 1
    context = list(job_recipe._context())
    monkeypatch.setattr(job_recipe, "_context", lambda: iter([*context, ("moorage/new.py", b"")]))
    site.up()
    assert len(site.builds()) == 1
    site.up()
    assert site.builds() == []
    site.up(no_cache=True)
    assert "--no-cache" in site.builds()[0]


def test_a_site_comes_up_without_it_and_every_up_tries_again(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.engine.builds_nothing = True
    assert site.up()
    assert IMAGE not in site.engine.images
    site.up()
    assert "NO BACKUPS ARE MADE" in capsys.readouterr().err
    site.engine.builds_nothing = False
    assert site.up(), "with its image it is another release"
    assert IMAGE in site.engine.images


def test_the_earlier_one_goes_on_when_a_new_one_fails(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.up()
    before = site.engine.images[IMAGE]
    site.engine.builds_nothing = True
    site.engine.images["postgres:17"] = "sha256:a-newer-one"
    site.up()
    assert site.engine.images[IMAGE] == before
    assert "backups go on with the earlier image" in capsys.readouterr().err


def test_a_ready_made_one_is_pulled_unless_that_is_not_wanted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    ready = "registry.example.com/moorage-job:1"
    site.write(f"backups: {{image: '{ready}'}}\nimages: {{pull: never}}\n")
    site.up()
    assert not site.builds()
    assert ready not in site.engine.images
    assert "`images.pull` is never" in capsys.readouterr().err
    site.write(f"backups: {{image: '{ready}'}}\n")
    site.up()
    assert f"pull --quiet {ready}" in site.engine.log
    assert not site.builds()


def test_names_of_earlier_versions_go_with_the_next_release(site: Site) -> None:
    site.engine.images["moorage-job/acme:postgres-16-0.0.9"] = "sha256:old"
    site.up()
    assert "moorage-job/acme:postgres-16-0.0.9" not in site.engine.images
    assert IMAGE in site.engine.images


def test_the_folder_of_the_deployment_is_made_closed(site: Site) -> None:
    site.up()
    assert stat.S_IMODE((site.folder / "backups").stat().st_mode) == 0o700


def test_the_context_is_the_package_readable_for_all_and_nothing_else(tmp_path: Path) -> None:
    job_recipe._write_context(tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"Dockerfile", "moorage/__init__.py", "moorage/backups/plan.py", "moorage/errors.py"} <= files
    assert all(name == "Dockerfile" or name.endswith(".py") for name in files)
    assert not [name for name in files if "__pycache__" in name or "_assets" in name]
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


SERVER = "moorage-job/acme:server-postgres-17"
ARCHIVING = "backups: {stores: [{name: disk, directory: /mnt/a}]}\n"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the job was asked for."""
    asked: list[list[str]] = []

    class Runner:
        def __init__(self, *_: object) -> None:
            pass

        def run(self, _: int, arguments: list[str]) -> JobResult:
            asked.append(arguments)
            return JobResult(0 if len(asked) == 1 else 38, "the log does not arrive")

    monkeypatch.setattr(deploy, "JobRunner", Runner)
    return asked


def archiving(site: Site) -> None:
    site.write(ARCHIVING)
    # Nobody has it before it was made.
    del site.engine.images[SERVER]
    site.engine.images["postgres:17"] = "sha256:postgres:17"


def test_a_server_that_archives_runs_from_an_image_of_its_own(site: Site, prepared: list[list[str]]) -> None:
    archiving(site)
    assert site.up()
    server, job = site.builds()
    assert "--target server" in server
    assert f"--tag {SERVER}" in server
    assert "--target job" in job
    assert prepared == [["prepare-archive"]]
    assert not site.up()
    assert SERVER in site.engine.images, "tidied away"


def test_a_new_version_of_moorage_makes_no_new_server(
    site: Site, prepared: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    archiving(site)
    site.up()
    context = list(job_recipe._context())
    monkeypatch.setattr(job_recipe, "_context", lambda: iter([*context, ("moorage/new.py", b"")]))
    site.up()
    (build,) = site.builds()
    assert "--target job" in build


def test_without_the_image_of_the_server_nothing_stops_and_the_way_out_is_named(
    site: Site, prepared: list[list[str]]
) -> None:
    site.up()
    archiving(site)
    site.engine.builds_nothing = True
    with pytest.raises(DeployError, match="nothing was stopped") as caught:
        site.up()
    assert "point_in_time: off" in caught.value.hint
    assert not [line for line in site.engine.log if line.startswith(("stop", "compose up"))]
    assert prepared == []


def test_a_store_that_does_not_take_the_log_fails_no_deploy(
    site: Site, prepared: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    archiving(site)
    prepared.append([])
    assert site.up()
    assert "point-in-time recovery does not work yet: the log does not arrive" in capsys.readouterr().err


def test_its_fingerprint_says_what_is_in_it() -> None:
    assert job_recipe.content_digest("sha256:a") == job_recipe.content_digest("sha256:a")
    assert job_recipe.content_digest("sha256:a") != job_recipe.content_digest("sha256:b")
