"""`moorage backup export`: a backup as plain files, with the text that tells how to use them."""

from __future__ import annotations

from pathlib import Path

from moorage.assets import asset
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backup_sites import server_runner
from moorage.targets.compose.place import Place
from moorage.targets.job_voice import BACKUP


def export(folder: Path, environment: str, console: Console, *, backup: str, store: str, target: Path) -> int:
    """Write a backup (the newest good one for an empty name) below `target`, decrypted; gives the exit status."""
    runner = server_runner(Place(folder, environment), console)
    place = target.resolve()
    if place.exists() and not place.is_dir():
        raise MoorageError(f"{target} is no folder", "name a folder; it is made when missing")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = ["export", *([backup] if backup else []), *(["--store", store] if store else []), "--into", "/export"]
    result = runner.run(BACKUP, arguments, ["--volume", f"{place}:/export"])
    result.raise_for_status()
    written = place / str(result.data)
    (written / "RESTORE.md").write_bytes((asset("backups") / "RESTORE.md").read_bytes())
    console.success(f"{written} has the dump, the volumes and the deployment folder")
    console.warning("nothing in it is encrypted any more, the secrets included: keep it closed, delete it when done")
    if console.as_json:
        console.data({"folder": str(written)})
    return 0
