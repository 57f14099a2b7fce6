"""Files in memory and in a folder: whole or not at all, stale ones removed, foreign ones left alone."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage import tree as tree_module
from moorage.errors import MoorageError
from moorage.tree import MANIFEST, Difference, File, Tree, edited_by_hand, write_file, written_files
from tests.unit.given import folder_with


def tree_of(files: dict[str, str], modes: dict[str, int] | None = None) -> Tree:
    """A tree with its manifest, as a renderer makes it."""
    tree = Tree()
    for path, content in files.items():
        tree.add(path, content, (modes or {}).get(path, 0o644))
    tree.add(MANIFEST, tree.manifest(moorage="0"))
    return tree


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder, the manifest and hidden files left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a/./b", "//a"]
)
def test_a_path_that_leaves_the_tree_or_has_two_spellings_is_refused(path: str) -> None:
    with pytest.raises(MoorageError):
        Tree().add(path, "x")


def test_the_folder_itself_is_no_file() -> None:
    with pytest.raises(MoorageError):
        Tree().add(".", "x")


def test_two_writers_of_one_path_are_refused() -> None:
    tree = Tree()
    tree.add("a", "1")
    with pytest.raises(MoorageError):
        tree.add("a", "1")
    other = Tree()
    other.add("b/a", "2")
    tree.merge(other)
    with pytest.raises(MoorageError):
        tree.merge(other)
    tree.merge(other, "below")
    assert sorted(tree.files) == ["a", "b/a", "below/b/a"]


def test_a_file_and_a_folder_of_one_name_are_refused() -> None:
    tree = Tree()
    tree.add("files/web/conf", "file")
    with pytest.raises(MoorageError):
        tree.add("files/web/conf/nginx", "below it")


def test_writing_makes_the_folder_what_the_tree_is(tmp_path: Path) -> None:
    tree = tree_of({"a": "1", "b/c": "2", "b/run.sh": "#!"}, {"b/run.sh": 0o755, "a": 0o600})
    assert tree.write(tmp_path) == Difference((*("a", "b/c", "b/run.sh"), MANIFEST), (), ())
    assert contents(tmp_path) == {"a": "1", "b/c": "2", "b/run.sh": "#!"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b/c").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "b/run.sh").stat().st_mode & 0o777 == 0o755
    assert not tree.write(tmp_path)
    assert not tree.compare(tmp_path)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tree_of({"a": "1"}).write(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_changed_mode_alone_is_a_change(tmp_path: Path) -> None:
    tree_of({"a": "1"}).write(tmp_path)
    (tmp_path / "a").chmod(0o666)
    assert tree_of({"a": "1"}).compare(tmp_path).changed == ("a",)
    tree_of({"a": "1"}).write(tmp_path)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    difference = tree_of({"a": "1"}).compare(tmp_path / "not there")
    assert difference.added == ("a", MANIFEST)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_longer_rendered_go_with_their_empty_folders(tmp_path: Path) -> None:
    tree_of({"keep": "1", "old/deep/x": "1", "old/y": "1"}).write(tmp_path)
    assert tree_of({"keep": "1"}).write(tmp_path).removed == ("old/deep/x", "old/y")
    assert contents(tmp_path) == {"keep": "1"}
    assert not (tmp_path / "old").exists()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    tree_of({"ours/a": "1", "ours/b": "1"}).write(tmp_path)
    folder_with(tmp_path, {"theirs": "x", "ours/theirs": "x"})
    tree_of({"ours/a": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"ours/a": "1", "theirs": "x", "ours/theirs": "x"}
    tree_of({"new": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"new": "1", "theirs": "x", "ours/theirs": "x"}


def test_a_stale_file_that_is_gone_already_is_no_problem(tmp_path: Path) -> None:
    tree_of({"a": "1", "b": "1"}).write(tmp_path)
    (tmp_path / "b").unlink()
    assert tree_of({"a": "1"}).write(tmp_path).removed == ()


def test_edits_by_hand_are_noticed(tmp_path: Path) -> None:
    tree_of({"a": "1", "b": "1", "c/d": "1"}).write(tmp_path)
    assert edited_by_hand(tmp_path) == ()
    (tmp_path / "a").write_text("2")
    (tmp_path / "c/d").unlink()
    (tmp_path / "foreign").write_text("x")
    assert edited_by_hand(tmp_path) == ("a", "c/d")


def test_a_folder_that_nobody_wrote_has_no_edits(tmp_path: Path) -> None:
    assert edited_by_hand(tmp_path / "nothing") == ()
    assert written_files(tmp_path) == {}


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '"text"', "null", "\xff"])
def test_a_broken_manifest_counts_as_none(manifest: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {MANIFEST: manifest.encode("latin-1")})
    assert written_files(tmp_path) == {}
    tree_of({"a": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"a": "1"}


@pytest.mark.parametrize("manifest", ['{"files": null}', '{"files": []}', '{"files": "a"}'])
def test_a_manifest_whose_files_are_no_mapping_counts_as_none(manifest: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {MANIFEST: manifest})
    assert written_files(tmp_path) == {}


def test_a_manifest_that_points_outside_removes_nothing_there(tmp_path: Path) -> None:
    folder_with(tmp_path, {"precious": "x", f"rendered/{MANIFEST}": json.dumps({"files": {"../precious": "0"}})})
    tree_of({"a": "1"}).write(tmp_path / "rendered")
    assert (tmp_path / "precious").read_text() == "x"


class Broken(Exception):
    """Stands for a full disk or a power cut."""


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, countdown: int) -> None:
    """Let the n-th call of `os.<name>` fail."""
    real: Callable[..., object] = getattr(os, name)
    left = countdown

    def failing(*arguments: object, **more: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise Broken
        return real(*arguments, **more)

    monkeypatch.setattr(os, name, failing)


OLD = {"a": "old", "b": "old", "c/x": "old", "stale/1": "old", "stale/2": "old"}
NEW = {"a": "new", "b": "new", "c/x": "new", "d": "new"}


@pytest.mark.parametrize("step", range(8))
def test_a_write_that_fails_leaves_every_file_whole_and_the_next_one_heals(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_of(OLD).write(tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, "fsync", step)
        with pytest.raises(Broken):
            tree_of(NEW).write(tmp_path)
    for path, text in contents(tmp_path).items():
        assert text in (OLD.get(path), NEW.get(path)), path
    # Nothing half-written is left behind, and the manifest does not claim more than was done.
    assert not list(tmp_path.rglob(".*"))
    assert json.loads((tmp_path / MANIFEST).read_text())["files"].keys() == {*OLD}
    assert tree_of(NEW).compare(tmp_path)
    tree_of(NEW).write(tmp_path)
    assert contents(tmp_path) == NEW
    assert edited_by_hand(tmp_path) == ()


@pytest.mark.parametrize("step", [0, 1])
def test_a_run_cut_off_while_removing_stale_files_is_finished_by_the_next_one(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_of(OLD).write(tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, "unlink", step)
        with pytest.raises(Broken):
            tree_of(NEW).write(tmp_path)
    tree_of(NEW).write(tmp_path)
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize("step", range(6))
def test_what_a_cut_off_run_added_is_removed_by_a_later_one_that_does_not_want_it(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_of({"a": "1"}).write(tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, "fsync", step)
        with pytest.raises(Broken):
            tree_of({"a": "1", "added": "1", "later": "1"}).write(tmp_path)
    tree_of({"a": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"a": "1"}


@pytest.mark.parametrize(
    ("before", "after"),
    [({"conf": "1"}, {"conf/nginx": "2"}), ({"conf/nginx": "1"}, {"conf": "2"}), ({"a/b/c": "1"}, {"a": "2"})],
)
def test_a_file_can_become_a_folder_and_back(before: dict[str, str], after: dict[str, str], tmp_path: Path) -> None:
    tree_of(before).write(tmp_path)
    tree_of(after).write(tmp_path)
    assert contents(tmp_path) == after


def test_a_link_to_nowhere_in_the_place_of_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    tree_of({"a": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"a": "1"}


def all_names(folder: Path) -> set[str]:
    """Everything below a folder, empty folders and hidden files included; of the manifest only its being there."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def killed_at(step: int, tree: Tree, folder: Path) -> bool:
    """Write in a process that dies without a word before its n-th change of the disk; whether it died."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    left = step

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return real(*arguments, **more)

        return call

    for name in ("mkdir", "rmdir", "unlink", "replace", "fsync", "fchmod", "fchown", "open"):
        setattr(os, name, dying(getattr(os, name)))
    tree.write(folder)
    os._exit(0)


STATES: dict[str, dict[str, str]] = {
    "nothing": {},
    "old": {**OLD, "swap": "old", "turn/a": "old", "turn/b/c": "old"},
    "new": {**NEW, "swap/inner": "new", "turn": "new", "fresh/deep/x": "new"},
    "other": {"a": "other", "fresh": "other", "turn/b": "other"},
}


@pytest.mark.parametrize("before", ["nothing", "old"])
@pytest.mark.parametrize("after", ["nothing", "old", "new", "other"])
def test_a_process_may_be_killed_between_any_two_steps(
    before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a disk forgets in a power cut can't be tried here; without waiting for it the test is quick.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    clean = tmp_path / "clean"
    tree_of(STATES[after]).write(clean)
    step, died = 0, True
    while died:
        folder = tmp_path / str(step)
        if STATES[before]:
            tree_of(STATES[before]).write(folder)
        folder_with(folder, {"foreign": "x", "c/foreign": "x"})
        died = killed_at(step, tree_of(STATES["new"]), folder)
        for path, text in contents(folder).items():
            whole = (STATES[before].get(path), STATES["new"].get(path), "x")
            assert path.endswith(".being-written") or text in whole, (step, path)
        assert edited_by_hand(folder) == () or died, step
        tree_of(STATES[after]).write(folder)
        assert all_names(folder) == all_names(clean) | {"foreign", "c", "c/foreign"}, step
        assert contents(folder) == {**STATES[after], "foreign": "x", "c/foreign": "x"}, step
        assert not tree_of(STATES[after]).compare(folder)
        assert edited_by_hand(folder) == ()
        step += 1
    assert step > 20


def test_a_run_that_was_cut_off_is_no_edit_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree_of(OLD).write(tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, "unlink", 0)
        with pytest.raises(Broken):
            tree_of(NEW).write(tmp_path)
    assert edited_by_hand(tmp_path) == ()
    (tmp_path / "a").write_text("by hand")
    assert edited_by_hand(tmp_path) == ("a",)


@pytest.mark.parametrize(
    ("foreign", "wanted"), [("conf", "conf/nginx"), ("conf/mine", "conf"), ("a/b/mine", "a"), ("a/b", "a/b/c/d")]
)
def test_a_foreign_file_in_the_way_is_named_before_anything_changes(foreign: str, wanted: str, tmp_path: Path) -> None:
    tree_of({"ours": "1", "stale": "1"}).write(tmp_path)
    folder_with(tmp_path, {foreign: "precious"})
    with pytest.raises(MoorageError) as error:
        tree_of({"ours": "2", wanted: "1"}).write(tmp_path)
    assert str(tmp_path / foreign) in error.value.message
    assert error.value.hint
    assert contents(tmp_path) == {"ours": "1", "stale": "1", foreign: "precious"}


def test_a_folder_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    folder_with(tmp_path, {"outside": None, "rendered": None})
    (tmp_path / "rendered/conf").symlink_to(tmp_path / "outside")
    with pytest.raises(MoorageError, match="in the way"):
        tree_of({"conf/nginx": "1"}).write(tmp_path / "rendered")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("name", ["fsync", "replace", "unlink", "open"])
def test_a_full_disk_is_an_error_that_names_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_of(OLD).write(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(MoorageError, match="No space left") as error:
            tree_of(NEW).write(tmp_path)
    assert str(tmp_path) in error.value.message
    assert error.value.hint
    tree_of(NEW).write(tmp_path)
    assert contents(tmp_path) == NEW


def test_an_empty_folder_that_docker_made_gives_way(tmp_path: Path) -> None:
    (tmp_path / "conf/inner").mkdir(parents=True)
    tree_of({"conf": "1"}).write(tmp_path)
    assert contents(tmp_path) == {"conf": "1"}


def test_several_processes_may_write_the_same_folder(tmp_path: Path) -> None:
    trees = [tree_of({f"{number}/{name}": str(number) for name in range(20)}) for number in range(4)]
    children = []
    for tree in trees:
        child = os.fork()
        if not child:
            for _ in range(5):
                tree.write(tmp_path)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    trees[0].write(tmp_path)
    assert contents(tmp_path) == {f"0/{name}": "0" for name in range(20)}


def test_a_file_is_written_over_a_link_and_not_through_it(tmp_path: Path) -> None:
    folder_with(tmp_path, {"outside": "precious"})
    (tmp_path / "rendered").mkdir()
    (tmp_path / "rendered/a").symlink_to(tmp_path / "outside")
    tree_of({"a": "1"}).write(tmp_path / "rendered")
    assert (tmp_path / "outside").read_text() == "precious"
    assert (tmp_path / "rendered/a").read_text() == "1"


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from moorage.tree import File, write_file\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_file(Path(sys.argv[1]), File(b'new'))\n"
    )
    finished = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_the_folders_of_a_file_are_made(tmp_path: Path) -> None:
    write_file(tmp_path / "a/b/c", File(b"x", 0o640))
    assert (tmp_path / "a/b/c").read_bytes() == b"x"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_changed_owner_alone_is_a_change(tmp_path: Path) -> None:
    tree_of({"a": "1"}).write(tmp_path)
    wanted = Tree()
    wanted.add("a", "1", 0o644, 1234)
    wanted.add(MANIFEST, tree_of({"a": "1"}).files[MANIFEST].content)
    wanted.write(tmp_path)
    assert (tmp_path / "a").stat().st_uid == 1234


def test_the_digest_tells_names_modes_and_contents_apart() -> None:
    trees = [
        tree_of({"a": "1"}),
        tree_of({"a": "2"}),
        tree_of({"b": "1"}),
        tree_of({"a": "1", "b": ""}),
        tree_of({"a": "1"}, {"a": 0o755}),
    ]
    assert len({tree.digest() for tree in trees}) == len(trees)
    assert tree_of({"x/a": "1", "y": "1"}).digest("x/") == tree_of({"x/a": "1", "z": "2"}).digest("x/")


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@given(sequence=st.lists(st.dictionaries(NAMES, st.sampled_from(["1", "2"]), max_size=5), min_size=1, max_size=4))
def test_after_any_sequence_of_writes_the_folder_is_what_the_last_tree_was(
    sequence: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    folder_with(folder, {"foreign/file": "x"})
    for files in sequence:
        # A file below a file is the subject of a test of its own.
        flat = {path.replace("/", "."): text for path, text in files.items()}
        flat |= {f"deep/{path}/file": text for path, text in files.items()}
        before = tree_of(flat).compare(folder)
        assert tree_of(flat).write(folder) == before
        assert contents(folder) == {**flat, "foreign/file": "x"}
        assert not tree_of(flat).compare(folder)
        assert edited_by_hand(folder) == ()


def test_the_manifest_is_what_was_written(tmp_path: Path) -> None:
    tree = tree_of({"a": "1", "b/c": "2"})
    tree.write(tmp_path)
    assert set(written_files(tmp_path)) == {"a", "b/c", MANIFEST}
    assert written_files(tmp_path)["a"] == tree.files["a"].digest
    assert tree_module.MANIFEST in tree.files
