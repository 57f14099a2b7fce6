"""Packages from the machine's own apt sources, and from trixie for a machine that is older.

Debian 12 carries an engine that is too old for us. Its successor's packages run on it when they
are only unpacked, so they are fetched with an apt state of their own: the machine's sources and
package list stay as they are, and apt checks the signatures as always.
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rig import RigError, cache_folder, require_root, run, say

NEWER_SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DOWNLOAD_LIMIT_SECONDS = 900
LOCK_LIMIT_SECONDS = 300
LOCK_PHRASES = ("Could not get lock", "frontend lock was locked")


def needs_newer_suite() -> bool:
    """Tell whether this machine's own packages are too old for the rig."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm"


def is_ubuntu() -> bool:
    """Tell whether this machine's packages carry Ubuntu's names."""
    return platform.freedesktop_os_release().get("ID") == "ubuntu"


def install(packages: Sequence[str]) -> None:
    """Install packages of the machine's own suite, as root."""
    require_root(f"installing {' '.join(packages)}")
    say(f"installing from this machine's own packages: {' '.join(packages)}")
    _refresh_own_lists()
    # A run that was killed may have left packages half installed, and apt refuses to go on then.
    _when_unlocked(["dpkg", "--configure", "-a"])
    _apt_get(["install", "--yes", "--no-install-recommends", *packages])


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """Return a cache folder with the named packages unpacked into it, fetching them once.

    The folder appears by a rename, so what exists is complete. Call it under the rig's lock.
    """
    suite = NEWER_SUITE if needs_newer_suite() else "own-suite"
    root = cache_folder() / "packages" / suite / name
    if not root.exists():
        partial = root.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        _download_and_unpack(packages, partial)
        partial.rename(root)
    return root


def _download_and_unpack(packages: Sequence[str], folder: Path) -> None:
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    say(f"fetching packages: {' '.join(packages)}")
    options: list[str] = []
    if needs_newer_suite():
        options = _newer_suite_options()
        _apt_get([*options, "update"])
    else:
        _refresh_own_lists()
    _apt_get([*options, "download", *packages], folder=downloads)
    for package in sorted(downloads.glob("*.deb")):
        run(["dpkg", "-x", package, folder], timeout_seconds=120)
    shutil.rmtree(downloads)


def _refresh_own_lists() -> None:
    try:
        _apt_get(["update"])
    except RigError as error:
        # One broken source among many need not matter; what is missing is reported by its name.
        say(f"warning: {error}")


def _apt_get(arguments: Sequence[str], folder: Path | None = None) -> str:
    options = ["-q", "-o", "Acquire::Retries=3"]
    return _when_unlocked(["apt-get", *options, *arguments], folder)


def _when_unlocked(command: Sequence[str], folder: Path | None = None) -> str:
    """Run apt or dpkg without questions, waiting while another one holds a lock.

    The other one may be the child of a run of ours that was killed.
    """
    deadline = time.monotonic() + LOCK_LIMIT_SECONDS
    while True:
        try:
            return run(
                command,
                timeout_seconds=DOWNLOAD_LIMIT_SECONDS,
                environment={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
                folder=folder,
            )
        except RigError as error:
            is_locked = any(phrase in str(error) for phrase in LOCK_PHRASES)
            if not is_locked or time.monotonic() > deadline:
                raise
            time.sleep(1)


def _newer_suite_options() -> list[str]:
    """Point apt at the newer suite only, with a state of its own and the machine's settings."""
    state = cache_folder() / "apt" / NEWER_SUITE
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").write_text("")
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {own_mirror()} {NEWER_SUITE} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def own_mirror() -> str:
    """Return the address of the Debian mirror that the machine's own apt sources name."""
    return _own_site("Debian")


def mirror_lines(suite: str) -> list[str]:
    """Return apt source lines for a Debian suite from the machine's own mirrors.

    None on another distribution, whose mirrors carry no Debian.
    """
    if platform.freedesktop_os_release().get("ID") != "debian":
        return []
    archive, security = own_mirror(), _own_site("Debian-Security")
    return [
        f"deb {archive} {suite} main",
        f"deb {archive} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]


def _own_site(label: str) -> str:
    if label not in _known_sites():
        # apt tells what a source is only after it has read the source's release file once.
        _refresh_own_lists()
    try:
        return _known_sites()[label]
    except KeyError:
        raise RigError(f"no {label} mirror in this machine's apt sources (see `apt-get indextargets`)") from None


def _known_sites() -> dict[str, str]:
    """Return the addresses of the machine's Debian mirrors by the label they give themselves."""
    columns = "$(ORIGIN)|$(LABEL)|$(SITE)"
    table = run(
        ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"],
        timeout_seconds=60,
    )
    rows = [line.split("|") for line in table.splitlines()]
    return {label: site for origin, label, site in reversed(rows) if origin == "Debian"}
