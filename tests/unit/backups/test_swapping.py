"""Files swapped into a volume: killed anywhere, done again, undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.backups import swapping
from moorage.backups.failures import RestoreFailed

ID = "20261122T033000Z-7f3a91"
OLD = {"a": "old a", "sub/b": "old b", ".hidden": "old"}
NEW = {"a": "new a", "c": "new c", "sub/d": "new d"}


class Killed(BaseException):
    """Stands for kill -9."""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def seen(folder: Path) -> dict[str, str]:
    """What the app sees."""
    return {
        str(place.relative_to(folder)): place.read_text()
        for place in sorted(folder.rglob("*"))
        if place.is_file() and not place.relative_to(folder).parts[0].startswith(".moorage-")
    }


def volume_of(folder: Path) -> Path:
    volume = folder / "volume"
    write(volume, OLD)
    write(swapping.incoming(volume, ID), NEW)
    return volume


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> bool:
    """Carry out so many changes of the file system and no more; whether there were more."""
    left = [step]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("mkdir", "rename", "rmdir", "touch", "unlink"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        try:
            act()
        except Killed:
            return True
    return False


def test_there_and_back(tmp_path: Path) -> None:
    volume = volume_of(tmp_path)
    swapping.swap_in(volume, ID)
    assert seen(volume) == NEW
    swapping.swap_in(volume, ID)
    assert seen(volume) == NEW
    swapping.swap_back(volume, ID)
    assert seen(volume) == OLD
    swapping.swap_in(volume, ID)
    swapping.discard(volume, ID)
    assert (seen(volume), list(volume.glob(".moorage-*"))) == (NEW, [])


def test_killed_at_any_step_it_is_finished_by_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, more = 0, True
    while more:
        folder = tmp_path / str(step)
        volume = volume_of(folder)
        more = killed_at(step, monkeypatch, lambda volume=volume: swapping.swap_in(volume, ID))  # type: ignore[misc]
        swapping.swap_in(volume, ID)
        assert seen(volume) == NEW, step
        swapping.swap_back(volume, ID)
        assert seen(volume) == OLD, step
        step += 1
    assert step > 10


def test_an_undo_that_is_killed_is_finished_by_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, more = 0, True
    while more:
        volume = volume_of(tmp_path / str(step))
        swapping.swap_in(volume, ID)
        more = killed_at(step, monkeypatch, lambda volume=volume: swapping.swap_back(volume, ID))  # type: ignore[misc]
        swapping.swap_back(volume, ID)
        assert seen(volume) == OLD, step
        step += 1
    assert step > 10


def test_a_swap_killed_anywhere_can_be_undone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, more = 0, True
    while more:
        volume = volume_of(tmp_path / str(step))
        more = killed_at(step, monkeypatch, lambda volume=volume: swapping.swap_in(volume, ID))  # type: ignore[misc]
        swapping.swap_back(volume, ID)
        assert seen(volume) == OLD, step
        step += 1


def test_what_is_exchanged_half_way_is_never_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, more, refused = 0, True, 0
    while more:
        volume = volume_of(tmp_path / str(step))
        more = killed_at(step, monkeypatch, lambda volume=volume: swapping.swap_in(volume, ID))  # type: ignore[misc]
        with contextlib.suppress(RestoreFailed):
            swapping.discard(volume, ID)
            assert seen(volume) in (OLD, NEW), step
            refused -= 1
        refused += 1
        step += 1
    assert refused > 5


def test_the_volume_itself_gets_the_restored_owner_and_mode_and_has_its_own_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed anywhere in between as well; 02770 is what an app of another user needs."""
    step, more = 0, True
    while more:
        volume = volume_of(tmp_path / str(step))
        volume.chmod(0o2750)
        swapping.incoming(volume, ID).chmod(0o2771)
        more = killed_at(step, monkeypatch, lambda volume=volume: swapping.swap_in(volume, ID))  # type: ignore[misc]
        if step % 2:
            swapping.swap_in(volume, ID)
            assert volume.stat().st_mode & 0o7777 == 0o2771, step
        swapping.swap_back(volume, ID)
        assert volume.stat().st_mode & 0o7777 == 0o2750, step
        step += 1


def test_nothing_restored_moves_nothing(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    with pytest.raises(RestoreFailed):
        swapping.swap_in(tmp_path, ID)
    assert seen(tmp_path) == OLD


def test_an_empty_volume_takes_and_gives_back(tmp_path: Path) -> None:
    swapping.incoming(tmp_path, ID).mkdir()
    swapping.swap_in(tmp_path, ID)
    swapping.swap_back(tmp_path, ID)
    assert seen(tmp_path) == {}
