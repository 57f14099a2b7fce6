"""What ran before: every release whole in a folder, or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.errors import MoorageError
from moorage.targets.releases import KEPT, Release, Releases, read_tree
from moorage.tree import MANIFEST, Tree
from tests.unit.given import folder_with

START = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


def rendered(folder: Path, text: str = "1") -> tuple[Path, Path]:
    """A rendered folder and a private one."""
    places = []
    for name, mode in (("rendered", 0o644), ("private", 0o600)):
        tree = Tree()
        tree.add("compose/compose.yaml", text, mode)
        tree.add("run.sh", "#!", 0o755)
        tree.add(MANIFEST, tree.manifest())
        tree.write(folder / name)
        places.append(folder / name)
    return places[0], places[1]


def record(folder: Path, number: int = 1) -> Release:
    public, private = rendered(folder, str(number))
    return Releases(folder, "compose").record(
        public, private, {"web": f"sha256:{number}"}, START + timedelta(hours=number)
    )


def test_a_release_is_what_was_rendered(tmp_path: Path) -> None:
    release = record(tmp_path)
    assert (release.id, release.time, dict(release.images)) == (
        "0001-20260504T130000Z",
        "2026-05-04T13:00:00Z",
        {"web": "sha256:1"},
    )
    assert (release.rendered / "compose/compose.yaml").read_text() == "1"
    assert (release.rendered / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (release.private_folder / "compose/compose.yaml").stat().st_mode & 0o777 == 0o600
    private = tmp_path / "secrets" / "compose" / "releases"
    for place in (private, release.private_folder, release.private_folder / "compose"):
        assert place.stat().st_mode & 0o777 == 0o700
    assert Releases(tmp_path, "compose").current() == release
    assert Releases(tmp_path, "compose").all() == (release,)
    assert Releases(tmp_path, "staging").all() == ()


def test_only_what_a_render_wrote_is_kept(tmp_path: Path) -> None:
    public, private = rendered(tmp_path)
    folder_with(public, {"foreign": "x"})
    release = Releases(tmp_path, "compose").record(public, private, {}, START)
    assert not (release.rendered / "foreign").exists()


def test_without_any_release_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    releases = Releases(tmp_path, "compose")
    assert (releases.all(), releases.current(), releases.before_current(), releases.superfluous()) == (
        (),
        None,
        None,
        (),
    )


def test_a_rollback_goes_to_the_release_before_and_not_further_twice(tmp_path: Path) -> None:
    first, second, third = (record(tmp_path, number) for number in (1, 2, 3))
    releases = Releases(tmp_path, "compose")
    assert releases.before_current() == second
    releases.set_current(second.id)
    assert releases.current() == second
    assert releases.before_current() == first
    releases.set_current(first.id)
    assert releases.before_current() is None
    fourth = record(tmp_path, 4)
    assert fourth.id.startswith("0004-")
    # Not the third one, which was gone back from.
    assert releases.before_current() == first
    releases.remove(first)
    assert releases.before_current() is None
    assert releases.named("0003") == third


def test_a_rollback_passes_by_what_was_gone_back_from(tmp_path: Path) -> None:
    releases = Releases(tmp_path, "compose")
    good, served, bad = (record(tmp_path, number) for number in (4, 5, 6))
    releases.set_current(served.id)
    newest = record(tmp_path, 7)
    assert newest.before == served.id
    assert releases.before_current() == served
    releases.set_current(served.id)
    assert releases.before_current() == good
    releases.set_current(newest.id)
    (served.folder / "release.json").write_text("{")
    assert releases.before_current() == good
    assert bad in releases.all()


def test_records_that_do_not_know_what_served_before_go_by_age(tmp_path: Path) -> None:
    first, second = record(tmp_path, 1), record(tmp_path, 2)
    text = (second.folder / "release.json").read_text()
    (second.folder / "release.json").write_text(text.replace('"before"', '"unknown"'))
    assert Releases(tmp_path, "compose").before_current() == first


@pytest.mark.parametrize("name", ["0002-20260504T140000Z", "0002", "0002-2026"])
def test_a_release_is_found_by_its_id_or_a_clear_beginning(name: str, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        record(tmp_path, number)
    assert Releases(tmp_path, "compose").named(name).id == "0002-20260504T140000Z"


@pytest.mark.parametrize("name", ["000", "9", "", "0002-20260504T140000Zx", "../0001", "2"])
def test_an_unclear_name_is_refused_with_those_that_exist(name: str, tmp_path: Path) -> None:
    for number in (1, 2):
        record(tmp_path, number)
    with pytest.raises(MoorageError) as error:
        Releases(tmp_path, "compose").named(name)
    assert "0001-" in error.value.hint


@settings(max_examples=12)
@given(count=st.integers(0, 9), current=st.integers(1, 9))
def test_what_is_superfluous_is_never_the_current_one_nor_the_one_before(
    count: int, current: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("releases")
    made = [record(folder, number) for number in range(1, count + 1)]
    releases = Releases(folder, "compose")
    if current <= count:
        releases.set_current(made[current - 1].id)
    superfluous = releases.superfluous()
    assert releases.current() not in superfluous
    assert releases.before_current() not in superfluous
    assert len(made) - len(superfluous) <= KEPT + 2
    for release in superfluous:
        releases.remove(release)
    assert len(releases.all()) == len(made) - len(superfluous)
    assert releases.superfluous() == ()
    assert len(list((folder / "secrets/compose/releases").glob("*"))) == len(releases.all())


class Killed(BaseException):
    """Stands for kill -9."""


def killed_at(step: int, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> bool:
    """Record a release and die before the n-th change of a name; whether it came so far."""
    left = step

    def dying(real: object) -> object:
        def change(*arguments: object, **more: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments, **more)  # type: ignore[operator]

        return change

    public, private = rendered(folder, str(number))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", dying(os.rename))
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(Path, "replace", dying(Path.replace))
        try:
            Releases(folder, "compose").record(public, private, {}, START + timedelta(hours=number))
        except Killed:
            return True
    return False


def test_a_release_that_was_cut_off_is_not_there_and_the_next_one_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = record(tmp_path, 1)
    steps = 0
    while killed_at(steps, tmp_path, monkeypatch, 2):
        found = Releases(tmp_path, "compose").all()
        for release in found:
            assert (release.rendered / MANIFEST).is_file(), steps
            assert (release.private_folder / MANIFEST).is_file(), steps
            assert release.folder.name == release.id, steps
        assert first in found
        current = Releases(tmp_path, "compose").current()
        assert current is not None
        assert current in found
        steps += 1
    assert steps >= 5
    assert Releases(tmp_path, "compose").all()[-1] == Releases(tmp_path, "compose").current()
    assert not list((tmp_path / "releases").rglob("*.partial"))
    assert not list((tmp_path / "secrets").rglob("*.partial"))


def test_no_secret_file_is_left_behind_by_a_release_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(24):
        killed_at(step, tmp_path, monkeypatch, step + 1)
    final = record(tmp_path, 20)
    kept = {release.id for release in Releases(tmp_path, "compose").all()}
    assert {path.name for path in final.private_folder.parent.iterdir()} == kept


def test_a_release_whose_removal_was_cut_off_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record(tmp_path, 1)
    record(tmp_path, 2)
    real = shutil.rmtree

    def once(path: object, **more: object) -> None:
        real(path, **more)  # type: ignore[arg-type,call-overload]
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shutil, "rmtree", once)
        Releases(tmp_path, "compose").remove(first)
    assert first.id not in [release.id for release in Releases(tmp_path, "compose").all()]


def test_a_folder_without_record_is_no_release(tmp_path: Path) -> None:
    record(tmp_path, 1)
    folder_with(
        tmp_path,
        {
            "releases/compose/0002-20260504T140000Z/rendered/x": "x",
            "releases/compose/current": "0002-20260504T140000Z\n",
        },
    )
    releases = Releases(tmp_path, "compose")
    assert len(releases.all()) == 1
    assert releases.current() is None


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"id": "0001-20260504T130000Z"}', "\xff", '"x"'])
def test_a_damaged_record_is_left_out_and_named(content: str, tmp_path: Path) -> None:
    release = record(tmp_path, 1)
    second = record(tmp_path, 2)
    (release.folder / "release.json").write_text(content, encoding="latin-1")
    releases = Releases(tmp_path, "compose")
    assert releases.all() == (second,)
    assert releases.damaged() == (release.folder / "release.json",)


def test_the_number_of_a_damaged_release_is_not_used_again_and_what_was_before_it_is_found(tmp_path: Path) -> None:
    first, second = record(tmp_path, 1), record(tmp_path, 2)
    (second.folder / "release.json").write_text("{")
    releases = Releases(tmp_path, "compose")
    assert releases.current() is None
    assert releases.before_current() == first
    assert record(tmp_path, 3).id.startswith("0003-")
    assert second.private_folder.is_dir()


def test_a_copy_that_somebody_made_by_hand_is_no_release(tmp_path: Path) -> None:
    release = record(tmp_path, 1)
    for name in ("0001-20260504T130000Z-backup", "backup", "0002-20260504T130000Z"):
        shutil.copytree(release.folder, release.folder.with_name(name))
    assert Releases(tmp_path, "compose").all() == (release,)
    assert record(tmp_path, 2).id.startswith("0003-")
    assert (release.folder.with_name("backup") / "release.json").is_file()


def test_the_ten_thousandth_release_is_the_newest(tmp_path: Path) -> None:
    folder = tmp_path / "releases/compose"
    first = record(tmp_path, 1)
    first.folder.rename(folder / "9999-20260504T130000Z")
    text = (folder / "9999-20260504T130000Z/release.json").read_text()
    (folder / "9999-20260504T130000Z/release.json").write_text(text.replace("0001-", "9999-"))
    newest = record(tmp_path, 2)
    assert Releases(tmp_path, "compose").all()[-1] == newest


def test_a_rendered_folder_comes_back_as_a_tree(tmp_path: Path) -> None:
    public, _ = rendered(tmp_path)
    tree = read_tree(public)
    assert {path: (file.content, file.mode) for path, file in tree.files.items() if path != MANIFEST} == {
        "compose/compose.yaml": (b"1", 0o644),
        "run.sh": (b"#!", 0o755),
    }
    with pytest.raises(MoorageError, match="not written by moorage"):
        read_tree(tmp_path / "nothing")


def test_a_rendered_folder_with_a_missing_file_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    public, private = rendered(tmp_path)
    (public / "run.sh").unlink()
    with pytest.raises(MoorageError, match=r"run\.sh is missing") as error:
        Releases(tmp_path, "compose").record(public, private, {}, START)
    assert "moorage render" in error.value.hint
    assert Releases(tmp_path, "compose").all() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_release_keeps_the_owners_of_its_files(tmp_path: Path) -> None:
    public, _ = rendered(tmp_path)
    private = Tree()
    private.add("files/key", "x", 0o600, 1234)
    private.add(MANIFEST, private.manifest())
    private.write(tmp_path / "private")
    release = Releases(tmp_path, "compose").record(public, tmp_path / "private", {}, START)
    assert (release.private_folder / "files/key").stat().st_uid == 1234 or read_tree(release.private_folder).files[
        "files/key"
    ].owner == 1234


def test_a_manifest_never_makes_a_release_write_outside(tmp_path: Path) -> None:
    public, private = rendered(tmp_path)
    folder_with(tmp_path, {"outside": "x"})
    for path in ("../outside", f"{tmp_path}/outside", "a/../../outside"):
        (public / MANIFEST).write_text(json.dumps({"files": {path: "0"}}))
        with pytest.raises(MoorageError, match="not a path inside"):
            Releases(tmp_path, "compose").record(public, private, {}, START)
