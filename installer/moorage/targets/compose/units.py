"""systemd units on the host: the stack at boot and shutdown, timers for scheduled jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from moorage.console import Console
from moorage.errors import CommandFailed
from moorage.process import run
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.host import unit_value
from moorage.targets.compose.names import FOLDER_MARK, README_MARK
from moorage.targets.compose.place import Place
from moorage.tree import File, write_file

UNIT_FOLDER = Path("/etc/systemd/system")


def install(place: Place, facts: StackFacts, console: Console) -> None:
    """Install or refresh the units when systemd runs here and this user may; otherwise say how.

    Failing at this is no reason to fail an `up`: the containers restart by themselves.
    """
    if not Path("/run/systemd/system").is_dir():
        return
    wanted = finished_units(place)
    for name in sorted(_foreign(wanted, facts)):
        console.warning(f"the systemd unit {name} belongs to another deployment of this host and is left alone")
        del wanted[name]
    changed = {name: text for name, text in wanted.items() if _installed_text(name) != text}
    gone = sorted(_ours(facts) - set(wanted))
    if not changed and not gone:
        return
    if os.geteuid() != 0:
        console.warning(
            "the systemd units are not up to date; run `moorage up` once as root, or copy them by hand (README.md)"
        )
        return
    try:
        for name in gone:
            run(["systemctl", "disable", "--now", name], check=False, timeout_seconds=60)
            (UNIT_FOLDER / name).unlink(missing_ok=True)
        for name, text in changed.items():
            write_file(UNIT_FOLDER / name, File(text.encode()))
        run(["systemctl", "daemon-reload"], timeout_seconds=60)
        for name in sorted(wanted):
            if name == f"{facts.unit}.service" or name.endswith(".timer"):
                # The stack runs already; `start` makes systemd know it, so that it is stopped in order at shutdown.
                run(["systemctl", "enable", "--now", name], timeout_seconds=300)
    except (CommandFailed, OSError) as error:
        reason = error.output if isinstance(error, CommandFailed) else ""
        console.warning(f"the systemd units could not be installed: {error}")
        console.detail(reason)
        return
    console.success(
        f"systemd starts {facts.project} at boot"
        + (" and runs its timers" if any(name.endswith(".timer") for name in wanted) else "")
    )


def remove(facts: StackFacts, console: Console) -> None:
    """Disable and delete the units."""
    names = sorted(_ours(facts))
    if not names or os.geteuid() != 0 or not Path("/run/systemd/system").is_dir():
        return
    for name in names:
        run(["systemctl", "disable", "--now", name], check=False, timeout_seconds=300)
        (UNIT_FOLDER / name).unlink(missing_ok=True)
    run(["systemctl", "daemon-reload"], check=False, timeout_seconds=60)
    console.success(f"systemd units of {facts.project} removed")


def next_run(timer: str) -> str:
    """When systemd starts a timer next, "" where it doesn't."""
    if not Path("/run/systemd/system").is_dir():
        return ""
    shown = run(
        ["systemctl", "show", timer, "--property=NextElapseUSecRealtime", "--value"], check=False, timeout_seconds=20
    )
    return shown.output.strip()


def finished_units(place: Place) -> dict[str, str]:
    """The rendered units with this deployment's own paths."""
    units = {}
    for file in sorted((place.rendered / "host" / "systemd").glob("*")):
        text = file.read_text(encoding="utf-8").replace(FOLDER_MARK, unit_value(str(place.compose.resolve())))
        readme = quote(str((place.rendered / "README.md").resolve()))
        units[file.name] = text.replace(README_MARK, unit_value(readme))
    return units


def _installed_text(name: str) -> str:
    try:
        return (UNIT_FOLDER / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _foreign(names: Iterable[str], facts: StackFacts) -> set[str]:
    """Those of the names that are taken by units of somebody else."""
    return {name for name in names if _installed_text(name) and not _is_of(_installed_text(name), facts)}


def _ours(facts: StackFacts) -> set[str]:
    """The installed units of this project; the names of jobs once began with a dash, as other projects' may."""
    found = [*UNIT_FOLDER.glob(f"{facts.unit}.*"), *UNIT_FOLDER.glob(f"{facts.unit}-*.*")]
    return {file.name for file in found if file.is_file() and _is_of(_installed_text(file.name), facts)}


def _is_of(text: str, facts: StackFacts) -> bool:
    """Whether a unit was rendered for this project, as its description says."""
    ours = (f"Description=moorage {facts.project}: ", f"Description=moorage stack {facts.project}\n")
    return any(f"\n{line}" in text for line in ours)
