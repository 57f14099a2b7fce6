"""restic as the carrier of backups: what it did is checked, whatever it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.backups.failures import BackupError, Damaged, RestoreFailed, StoreRefused, StoreUnreachable
from moorage.backups.progress import Progress
from moorage.backups.restic_failures import failure_of, is_locked, unreadable_files
from moorage.backups.restic_locks import OwnLocks
from moorage.backups.restic_process import Outcome, run_restic
from moorage.backups.restic_watch import Watch
from moorage.backups.stores.base import MARKER_KEY, RESTIC_FOLDER, Store, checked_key
from moorage.durable import make_closed_folder, only_writer, replace_file
from moorage.quantities import GIBIBYTE
from moorage.sensitive import Sensitive

# The same for every night: a container's own name changes, and restic would not find the last snapshot by it.
_HOST = "moorage"
_CACHE_BYTES = 1 * GIBIBYTE
_CACHE_AGE_SECONDS = 86400.0
# What the machine's environment must not tell restic: other repositories, passwords, identities.
_FOREIGN = ("AWS_", "RESTIC_", "MINIO_")
_PARTLY_READ = 3
_SAVED = "save a backup"
_IN_SNAPSHOT = re.compile(r"in snapshot ([0-9a-f]{8})")


@dataclass(frozen=True)
class Snapshot:
    """What one backup became: restic's full id, its files and bytes, and by how much the store grew."""

    id: str
    files: int
    bytes: int
    added_bytes: int


class Restic:
    """The restic repository of a store.

    `runtime_folder` is on a tmpfs and takes the password's file; `cache_folder` lies on the job's work volume. A backup
    in which nothing moves for `patience_seconds` is ended. With a key that may not delete, restic's own lock stays
    behind: it does not hold up other backups, and after `lock_seconds` restic is not waited for any more.
    """

    def __init__(
        self,
        store: Store,
        password: Sensitive,
        runtime_folder: Path,
        cache_folder: Path,
        *,
        patience_seconds: float = 1800,
        lock_seconds: float = 15,
    ) -> None:
        self._store = store
        self._cache = cache_folder
        self._patience_seconds = patience_seconds
        self._lock_seconds = lock_seconds
        self._own_locks = OwnLocks(cache_folder)
        self._known: list[dict[str, Any]] | None = None
        self._password_file = runtime_folder / f"restic-{checked_key(store.plan.name)}.password"
        make_closed_folder(runtime_folder)
        make_closed_folder(cache_folder)
        replace_file(self._password_file, password.reveal().encode(), 0o600)

    def ensure_repository(self) -> None:
        """Make the repository, if there is none, and prove that the key opens it. Raises WrongKey, Damaged and others.

        Two that do it at the same time on one server wait for each other; what a killed one left is done anew.
        """
        with only_writer(self._cache):
            self._trim_cache()
            if not self.has_repository():
                self._initialise()
        # Asked for here, because each question to a repository takes half a second to derive its key.
        self._known = self._listed()

    def _initialise(self) -> None:
        if self._store.get(MARKER_KEY) is None:
            raise StoreUnreachable(f"store `{self._store.plan.name}` is not marked", "is its disk mounted?")
        self._remove_half_made()
        outcome = self._run(["init"])
        if outcome.status != 0 and not self.has_repository():
            raise failure_of(self._store, "make its repository", outcome)

    def _remove_half_made(self) -> None:
        """A killed `init` leaves a key without its configuration: another would not open with it."""
        found = self._store.keys(f"{RESTIC_FOLDER}/")
        if any(not key.startswith(f"{RESTIC_FOLDER}/keys/") for key in found):
            raise Damaged(
                f"store `{self._store.plan.name}`: the restic repository has data, but its file `config` is gone",
                "use another store; `backups/RESTORE.md` tells how to repair",
            )
        for key in found:
            self._store.delete(key)

    def has_repository(self) -> bool:
        """Whether there is one; a store that no night has reached yet has none."""
        return bool(self._store.keys(f"{RESTIC_FOLDER}/config"))

    def back_up(
        self, paths: Sequence[str], tag: str, excludes: Sequence[str] = (), progress: Progress | None = None
    ) -> Snapshot:
        """Save whole folders in one snapshot, without the paths in `excludes`, and look that it is there.

        A file that was gone when its turn came is left out, as if the backup had been a second later. Any other that
        can't be read makes the backup fail, and its name is told.
        """
        for path in paths:
            if not os.path.lexists(path):
                raise BackupError(f"{path} is not there, so it can't be backed up", "look at the volumes of the job")
        watch = Watch(progress, self._patience_seconds, self._linger_seconds())
        outcome = self._locking(["backup", *self._choice(tag, excludes), "--", *paths], watch)
        if watch.summary is None or (outcome.status not in (0, _PARTLY_READ) and not outcome.is_overdue):
            raise failure_of(self._store, _SAVED, outcome)
        snapshot = self._proven(watch.summary, tag, outcome)
        self._refuse_unreadable(outcome, snapshot.id)
        return snapshot

    def _choice(self, tag: str, excludes: Sequence[str]) -> list[str]:
        parent = self._newest()
        return [
            *("--json", "--host", _HOST, "--tag", tag),
            *(("--parent", parent) if parent else ("--force",)),
            *(word for pattern in excludes for word in ("--exclude", pattern)),
        ]

    def _linger_seconds(self) -> float:
        return self._patience_seconds if self._store.plan.may_delete else self._lock_seconds

    def _proven(self, summary: Mapping[str, Any], tag: str, outcome: Outcome) -> Snapshot:
        """The snapshot that restic says it saved, if it is there with its tag."""
        short = str(summary.get("snapshot_id", ""))
        found = [item for item in self._listed() if short and str(item["id"]).startswith(short)]
        if len(found) != 1 or tag not in (found[0].get("tags") or ()):
            raise failure_of(self._store, f"{_SAVED}: it named snapshot `{short}`, which is not there", outcome)
        return Snapshot(
            str(found[0]["id"]),
            int(summary["total_files_processed"]),
            int(summary["total_bytes_processed"]),
            # Older ones tell only what it was before it was compressed.
            int(summary.get("data_added_packed") or summary["data_added"]),
        )

    def _refuse_unreadable(self, outcome: Outcome, snapshot: str) -> None:
        failed = [(path, reason) for path, reason in unreadable_files(outcome.errors) if os.path.lexists(path)]
        if not failed:
            return
        if self._store.plan.may_delete:
            with suppress(BackupError):
                self._locking(["forget", snapshot])
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise BackupError(
            f"{failed[0][0]} can't be read: {failed[0][1]}{more}; the backup would lack it, so it does not count",
            "look at the file's rights and at the disk (`dmesg`), or leave it out of the backup",
        )

    def snapshots(self) -> dict[str, tuple[str, ...]]:
        """Full ids of all snapshots by their tag, to find those that no record tells of."""
        found: dict[str, tuple[str, ...]] = {}
        for item in self._listed():
            for tag in item.get("tags") or ("",):
                found[tag] = (*found.get(tag, ()), str(item["id"]))
        return found

    def _newest(self) -> str:
        """What unchanged files are compared with; "" when there is none."""
        known, self._known = self._listed() if self._known is None else self._known, None
        own = [item for item in known if item.get("hostname") == _HOST]
        return str(max(own, key=lambda item: str(item["time"]))["id"]) if own else ""

    def _listed(self) -> list[dict[str, Any]]:
        lines: list[str] = []
        self._read_only(["snapshots", "--json"], "list its snapshots", lines.append)
        return json.loads("".join(lines) or "null") or []

    def restore(
        self, snapshot: str, target: Path, includes: Sequence[str] = (), progress: Progress | None = None
    ) -> None:
        """Bring a snapshot, or the paths in `includes`, back below `target`, as whole paths.

        Raises Damaged when the store lacks something, RestoreFailed or what the store gives as reason; also when restic
        ends well.
        """
        chosen = [word for path in includes for word in ("--include", _literally(path))]
        watch = Watch(progress, None, self._linger_seconds())
        # Whoever restores may not write to the store; nothing else writes there meanwhile, the job's own lock sees to it.
        outcome = self._locking(["restore", "--no-lock", "--json", "--target", str(target), *chosen, snapshot], watch)
        if outcome.status != 0:
            raise _as_restore(failure_of(self._store, f"restore snapshot {snapshot[:8]}", outcome))
        self._must_be_restored(snapshot, target, includes or ("/",))

    def _must_be_restored(self, snapshot: str, target: Path, paths: Sequence[str]) -> None:
        for path in paths:
            if not os.path.lexists(Path(str(target) + path)):
                # Whose fault it is decides whether the backup counts as good any longer.
                if not self._has(snapshot, path):
                    raise Damaged(f"store `{self._store.plan.name}`: snapshot {snapshot[:8]} has no {path}")
                raise RestoreFailed(f"restic did not restore {path}, and did not say so", "try another store")
        # One listing for all: each one asks a store far away several questions.
        for path, size in self.files(snapshot, *paths):
            restored = Path(str(target) + path)
            if not os.path.lexists(restored) or restored.lstat().st_size != size:
                raise RestoreFailed(f"restic did not restore {path} whole, and did not say so", "try another store")

    def _has(self, snapshot: str, path: str) -> bool:
        lines: list[str] = []
        self._read_only(["ls", "--json", snapshot, path], f"list {path}", lines.append)
        return any(path in ("/", json.loads(line).get("path")) for line in lines)

    def files(self, snapshot: str, *paths: str) -> Iterator[tuple[str, int]]:
        """Path and bytes of every file of a snapshot below folders, or of the very files that are named."""
        lines: list[str] = []
        self._read_only(["ls", "--json", "--recursive", snapshot, *paths], f"list {paths[0]}", lines.append)
        for line in lines:
            node = json.loads(line)
            if node.get("type") == "file":
                yield str(node["path"]), int(node.get("size", 0))

    def snapshots_with(self, packs: Sequence[str]) -> tuple[str, ...]:
        """The first letters of the ids of snapshots that need one of these files; none where restic can't tell."""
        lines: list[str] = []
        outcome = self._run(["--no-lock", "find", "--pack", *packs], on_line=lines.append) if packs else None
        found = (_IN_SNAPSHOT.search(line) for line in (*lines, *(outcome.errors if outcome else ())))
        return tuple(sorted({match[1] for match in found if match}))

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots, those that are gone already included, and the data that only they used."""
        if not self._store.plan.may_delete:
            raise StoreRefused(f"store `{self._store.plan.name}`: this deployment may not delete there, by its plan")
        if not snapshots:
            return
        outcome = self._locking(["forget", "--prune", *snapshots])
        left = {str(item["id"]) for item in self._listed()} & set(snapshots)
        if outcome.status != 0 or left:
            raise failure_of(self._store, f"remove {len(snapshots)} snapshots", outcome)

    def check(self, *, read_percent: float) -> None:
        """Look whether all data is there, and read so many percent of it anew. Raises Damaged with the packs' names."""
        lock = [] if self._store.plan.may_delete else ["--no-lock"]
        how = ["--read-data"] if read_percent >= 100 else [f"--read-data-subset={read_percent:g}%"]
        outcome = self._locking(["check", *lock, *(how if read_percent > 0 else ())])
        if outcome.status != 0:
            raise failure_of(self._store, "find its repository whole", outcome)

    def _read_only(self, arguments: Sequence[str], action: str, on_line: Callable[[str], object] | None = None) -> None:
        outcome = self._run(["--no-lock", *arguments], on_line=on_line)
        if outcome.status != 0:
            raise failure_of(self._store, action, outcome)

    def _locking(self, arguments: Sequence[str], watch: Watch | None = None) -> Outcome:
        """Run what takes a lock; if a lock of somebody who was killed is in the way, remove it and try once more."""
        outcome = self._run_locked(arguments, watch)
        if is_locked(outcome) and self._store.plan.may_delete:
            # Without --remove-all, only locks whose owner is gone: its process, or no sign of it for 30 minutes.
            self._run(["unlock"])
            self._own_locks.remove_dead(self._store, self._lock_content)
            outcome = self._run_locked(arguments, watch)
        return outcome

    def _run_locked(self, arguments: Sequence[str], watch: Watch | None) -> Outcome:
        with self._own_locks.taking() as descriptor:
            return self._run(arguments, watch, keep_open=(descriptor,))

    def _lock_content(self, lock: str) -> dict[str, Any]:
        """What a lock says of its owner; nothing, if it is gone meanwhile."""
        lines: list[str] = []
        outcome = self._run(["--no-lock", "cat", "lock", lock], on_line=lines.append)
        content: dict[str, Any] = json.loads("".join(lines)) if outcome.status == 0 else {}
        return content

    def _run(
        self,
        arguments: Sequence[str],
        watch: Watch | None = None,
        on_line: Callable[[str], object] | None = None,
        keep_open: Sequence[int] = (),
    ) -> Outcome:
        watch = watch or Watch()
        watch.begin()
        command = [*self._caching(), *arguments]
        return run_restic(command, self._environment(), watch.patience, on_line or watch.saw, keep_open)

    def _caching(self) -> list[str]:
        return ["--no-cache"] if self._store.plan.kind == "directory" else ["--cleanup-cache"]

    def _environment(self) -> dict[str, str]:
        temporary = self._cache / "temporary"
        make_closed_folder(temporary)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
            **self._store.environment(),
            "RESTIC_REPOSITORY": self._store.restic_repository(),
            "RESTIC_PASSWORD_FILE": str(self._password_file),
            "RESTIC_CACHE_DIR": str(self._cache / "restic"),
            "RESTIC_PROGRESS_FPS": "2",
            "TMPDIR": str(temporary),
        }

    def _trim_cache(self) -> None:
        """What killed checks left goes, and a cache that has grown out of bounds as well: restic fills it anew."""
        cache = self._cache / "restic"
        for left in cache.glob("restic-check-cache-*"):
            if time.time() - left.stat().st_mtime > _CACHE_AGE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        if sum(path.lstat().st_size for path in cache.rglob("*")) > _CACHE_BYTES:
            shutil.rmtree(cache, ignore_errors=True)


def _literally(path: str) -> str:
    """A path as a pattern that matches nothing else."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", path)


def _as_restore(error: BackupError) -> BackupError:
    return RestoreFailed(error.message, error.hint) if type(error) is BackupError else error
