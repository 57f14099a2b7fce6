"""Images of this machine for minikube: real programs called docker and minikube stand in, and keep what they were told in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.targets.cluster.images import LocalImages, names_by_content
from moorage.targets.cluster.place import Place
from moorage.targets.job_recipe import content_digest
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts, MinikubeFacts
from tests.unit.targets.cluster.test_reading import facts

# Images are files `images/NAME` with an id in them; those of minikube are in `there/`.
_DOCKER = """#!/bin/sh
cd {folder}
echo "$*" >> asked
last() {{ for word; do :; done; echo "$word" | tr / _; }}
case "$*" in
    "image inspect --format {{{{.Id}}}} "*) cat "images/$(last "$@")" ;;
    "image inspect "*) cat "labels/$(last "$@")" ;;
    "tag "*) cp "images/$(echo "$2" | tr / _)" "images/$(last "$@")" ;;
    "rmi "*) rm "images/$(last "$@")" ;;
    "compose "*) test ! -e broken || {{ echo "no space left" >&2; exit 1; }}; echo "sha256:$(cat next)" > images/notes:latest ;;
    "build "*)
        test ! -e broken || {{ echo "no mirror" >&2; exit 1; }}
        while test "$1" != --tag; do shift; done
        name=$(echo "$2" | tr / _); echo sha256:job > "images/$name"
        while test "$1" != --label; do shift; done
        echo "${{2#*=}}" > "labels/$name" ;;
esac
"""
_MINIKUBE = """#!/bin/sh
cd {folder}
last() {{ for word; do :; done; echo "$word" | tr / _; }}
case "$*" in
    *" image ls") ls there | sed 's,^,docker.io/library/,; s,moorage-job_,moorage-job/,; s,library/moorage-job,moorage-job,' ;;
    *" image load "*) cp "images/$(last "$@")" there/ ;;
    *" image rm "*) rm "there/$(last "$@")" ;;
esac
"""
FIRST, SECOND = "notes:latest-" + "1" * 12, "notes:latest-" + "2" * 12


class Machine:
    """A folder with both programs and a deployment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("images", "labels", "there", "rendered/minikube/k8s"):
            (folder / name).mkdir(parents=True)
        for name, text in (("docker", _DOCKER), ("minikube", _MINIKUBE)):
            (folder / name).write_text(text.format(folder=folder))
            (folder / name).chmod(0o755)
        (folder / "rendered/minikube/k8s/build.yaml").touch()
        self.next("1")
        self.place = Place(folder, "minikube")

    def next(self, digit: str) -> None:
        """What the next build will be."""
        (self.folder / "next").write_text(digit * 64)

    def images(self, **options: Any) -> LocalImages:
        return LocalImages(self.place, self.folder, Console(quiet=True), **options)

    def local(self, kind: str = "images") -> set[str]:
        return {path.name for path in (self.folder / kind).iterdir()}

    def put(self, name: str, image_id: str) -> None:
        (self.folder / "images" / name).write_text(image_id + "\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Machine(tmp_path)


def _facts(**changes: Any) -> ClusterFacts:
    settings = MinikubeFacts("acme", "docker", 0, 0, "v1.35.0", (), ())
    return facts(**{"minikube": settings, "builds": ("notes:latest",), **changes})


def _with_backups(base: str = "postgres:17") -> ClusterFacts:
    job = ClusterBackupFacts(("backup",), "0 3 * * *", "moorage-job/acme:1", base, ("local",), 30, "t", "s", {})
    return _facts(backups=job)


def _record(machine: Machine, number: int, images: dict[str, str]) -> None:
    """A release that ran these builds."""
    name = f"{number:04d}-20261122T120000Z"
    folder = machine.folder / "releases" / "minikube" / name
    folder.mkdir(parents=True)
    record = {"id": name, "time": "2026-11-22T12:00:00Z", "moorage": "1", "images": images, "before": ""}
    (folder / "release.json").write_text(json.dumps(record))


def test_a_build_runs_under_a_name_that_says_which_it_is(machine: Machine) -> None:
    assert machine.images().make(_facts()) == {"notes:latest": FIRST}
    assert FIRST in machine.local()
    machine.next("2")
    assert machine.images().make(_facts()) == {"notes:latest": FIRST}, "nobody asked for another"
    assert machine.images(build=True).make(_facts()) == {"notes:latest": SECOND}
    assert {FIRST, SECOND} <= machine.local()
    assert names_by_content(_facts()) == {"notes:latest": SECOND}


def test_a_reference_without_a_tag_and_one_with_a_port(machine: Machine) -> None:
    machine.put("registry_5000_x".replace("_5000", ":5000"), "sha256:" + "3" * 64)
    assert names_by_content(_facts(builds=("registry:5000/x",))) == {
        "registry:5000/x": "registry:5000/x:latest-" + "3" * 12
    }


def test_a_build_that_fails_changes_nothing(machine: Machine) -> None:
    (machine.folder / "broken").touch()
    with pytest.raises(DeployError, match="could not be built; nothing was changed"):
        machine.images().make(_facts())
    (machine.folder / "rendered/minikube/k8s/build.yaml").unlink()
    with pytest.raises(MoorageError, match="does not say how to build it"):
        machine.images().make(_facts())


def test_minikube_gets_both_names_and_an_earlier_release_its_own_build(machine: Machine) -> None:
    first = machine.images().make(_facts())
    machine.images().bring(_facts(), first)
    assert machine.local("there") == {"notes:latest", FIRST}
    machine.next("2")
    second = machine.images(build=True).make(_facts())
    machine.images().bring(_facts(), second)
    assert (machine.folder / "there/notes:latest").read_text() == "sha256:" + "2" * 64 + "\n"
    machine.images().bring(_facts(), first)
    assert (machine.folder / "there/notes:latest").read_text() == "sha256:" + "1" * 64 + "\n"
    assert names_by_content(_facts()) == first, "the plain name is the earlier build's again, here as well"


def test_a_build_that_is_nowhere_any_more_is_told_before_anything_changes(machine: Machine) -> None:
    with pytest.raises(DeployError, match=f"{FIRST} is neither on this machine nor in minikube"):
        machine.images().bring(_facts(), {"notes:latest": FIRST})


def test_names_that_no_release_runs_go(machine: Machine) -> None:
    machine.images().bring(_facts(), machine.images().make(_facts()))
    machine.next("2")
    second = machine.images(build=True).make(_facts())
    machine.images().bring(_facts(), second)
    _record(machine, 2, second)
    machine.images().tidy(_facts())
    assert machine.local() == {"notes:latest", SECOND}
    assert machine.local("there") == {"notes:latest", SECOND}


def test_what_serves_is_not_built_anew_for_a_restore(machine: Machine) -> None:
    assert machine.images(names={"notes:latest": FIRST}).make(_facts()) == {"notes:latest": FIRST}
    assert not machine.local()


def test_the_job_is_made_from_the_database_and_made_anew_with_it(machine: Machine) -> None:
    machine.put("postgres:17", "sha256:base")
    machine.images().bring(_with_backups(), {})
    assert "moorage-job_acme:1" in machine.local("there")
    label = machine.folder / "labels/moorage-job_acme:1"
    assert label.read_text().strip() == content_digest("sha256:base")
    machine.images().bring(_with_backups(), {})
    machine.put("postgres:17", "sha256:newer")
    machine.images().bring(_with_backups(), {})
    builds = [line for line in (machine.folder / "asked").read_text().splitlines() if line.startswith("build ")]
    assert len(builds) == 2
    assert label.read_text().strip() == content_digest("sha256:newer")


def test_a_site_comes_up_without_the_job(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.put("postgres:17", "sha256:base")
    (machine.folder / "broken").touch()
    machine.images().bring(_with_backups(), {})
    assert "NO NEW IMAGE FOR BACKUPS: moorage-job/acme:1" in capsys.readouterr().err


def test_a_ready_made_job_is_left_to_the_nodes(machine: Machine) -> None:
    machine.images().bring(_with_backups(base=""), {})
    assert not machine.local("there")


def test_elsewhere_nothing_is_made_here(machine: Machine) -> None:
    elsewhere = _facts(minikube=None, builds=("registry.example.com/notes:1",))
    assert machine.images().make(elsewhere) == {}
    machine.images().bring(elsewhere, {})
    assert not machine.local("there")
