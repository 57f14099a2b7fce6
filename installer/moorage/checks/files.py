"""Files: secrets are closed to others and unknown to git, certificates are good."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from moorage.checks import certificates
from moorage.checks.asking import Engine, ask
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.checks.certificates import CertificateFacts
from moorage.words import abridged, plural

NAME = "files"
_CONFIG = "moorage.yaml"
_SECRETS = "secrets"
_OTHERS = 0o077
_OTHERS_PASS = 0o011
_SHOWN = 4

GitState = Literal["none", "ignored", "visible", "tracked", "unknown"]


@dataclass(frozen=True)
class OpenPath:
    """Something below secrets/ with rights for others; `path` starts at the deployment folder.

    `is_sheltered` when a folder above it, up to secrets/ itself, lets nobody else through.
    """

    path: str
    mode: int
    is_folder: bool
    is_sheltered: bool = False


@dataclass(frozen=True)
class FileFacts:
    """The deployment folder as far as safety goes; `config_mode` is None when the file can't be read."""

    config_mode: int | None
    config_error: str
    secret_files: int
    open_paths: tuple[OpenPath, ...]
    unreadable: tuple[str, ...]
    git: GitState
    git_detail: str
    certificate: CertificateFacts | None


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:  # noqa: ARG001 - the same for all checks
    """Look at the deployment folder and judge."""
    return judge(gather(needs, datetime.now(timezone.utc)), needs)


def gather(needs: Needs, now: datetime) -> FileFacts:
    """Read modes, ask git, parse the certificate; opens no secret."""
    mode, error = _config(needs.folder / _CONFIG)
    count, open_paths, unreadable = _walk(needs.folder)
    git, detail = _git(needs.folder)
    certificate = None
    if needs.tls_mode == "files":
        certificate = certificates.gather(needs.folder / needs.certificate_file, needs.folder / needs.key_file, now)
    return FileFacts(mode, error, count, open_paths, unreadable, git, detail, certificate)


def judge(facts: FileFacts, needs: Needs) -> tuple[Finding, ...]:
    """The lines about moorage.yaml, secrets/, git and the certificate."""
    found = [*_judge_config(facts, needs), *_judge_secrets(facts, needs), *_judge_git(facts, needs)]
    if facts.certificate:
        found += certificates.judge(facts.certificate, needs, NAME)
    return tuple(found)


def _config(file: Path) -> tuple[int | None, str]:
    try:
        with file.open("rb") as stream:
            return stat.S_IMODE(os.fstat(stream.fileno()).st_mode), ""
    except OSError as error:
        return None, error.strerror or type(error).__name__


def _walk(folder: Path) -> tuple[int, tuple[OpenPath, ...], tuple[str, ...]]:
    """Number of files below secrets/, what is open to others, and what this user may not look into."""
    root = folder / _SECRETS
    open_paths: list[OpenPath] = []
    unreadable: list[str] = []
    count = 0

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            unreadable.append(os.path.relpath(error.filename, folder))

    closed: set[Path] = set()
    for place, _, names in os.walk(root, onerror=failed):
        count += len(names)
        for path in (Path(place), *(Path(place) / name for name in names)):
            try:
                found = path.lstat()
            except OSError:
                continue
            is_folder, is_sheltered = stat.S_ISDIR(found.st_mode), path.parent in closed
            if is_folder and (is_sheltered or not found.st_mode & _OTHERS_PASS):
                closed.add(path)
            # A link has no mode of its own. A public certificate is for everybody; its folder is closed anyway.
            must_be_open = path.suffix == ".crt" or (is_sheltered and _is_mounted(path.relative_to(root)))
            if found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode) and not must_be_open:
                mode = stat.S_IMODE(found.st_mode)
                open_paths.append(OpenPath(str(path.relative_to(folder)), mode, is_folder, is_sheltered))
    return count, tuple(sorted(open_paths, key=lambda item: item.path)), tuple(sorted(unreadable))


def _is_mounted(place: Path) -> bool:
    """Whether it is `<environment>/compose/files/<service>/<mount>` or below, or the copy of such a file in a release.

    The user of the container that has it mounted must pass and read, whoever that is.
    """
    parts = place.parts
    if parts[1:2] == ("releases",):
        return parts[3:4] == ("files",) and len(parts) >= 6
    return parts[1:3] == ("compose", "files") and len(parts) >= 5


def _git(folder: Path) -> tuple[GitState, str]:
    if not any((place / ".git").exists() for place in (folder, *folder.parents)):
        return "none", ""
    inside = ask(["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"])
    if not inside.is_good:
        return "unknown", inside.error
    if inside.output.strip() != "true":
        return "none", ""
    tracked = ask(["git", "-C", str(folder), "ls-files", "--", _SECRETS])
    if tracked.is_good and tracked.output.strip():
        return "tracked", tracked.output.splitlines()[0]
    # A name below it, because a pattern such as `secrets/` fits only what git knows to be a folder.
    ignored = ask(["git", "-C", str(folder), "check-ignore", "-q", f"{_SECRETS}/any"])
    if ignored.status in (0, 1):
        return ("ignored" if ignored.status == 0 else "visible"), ""
    return "unknown", ignored.error


def _judge_config(facts: FileFacts, needs: Needs) -> Iterator[Finding]:
    file = needs.folder / _CONFIG
    if facts.config_mode is None:
        text = f"{file} cannot be read: {facts.config_error}"
        yield failure(NAME, text, f"run moorage as the owner of {needs.folder}, or as root")
    elif facts.config_mode & stat.S_IWOTH:
        text = f"{file} has mode {facts.config_mode:04o}: everybody on this host may change what runs"
        yield warning(NAME, text, f"`chmod o-w {shlex.quote(str(file))}`")


def _judge_secrets(facts: FileFacts, needs: Needs) -> Iterator[Finding]:
    if facts.unreadable:
        text = f"{facts.unreadable[0]}/ cannot be looked into by this user"
        yield warning(NAME, text, f"`sudo moorage -C {shlex.quote(str(needs.folder))} check`")
    reachable = tuple(item for item in facts.open_paths if not item.is_sheltered)
    sheltered = tuple(item for item in facts.open_paths if item.is_sheltered)
    if reachable:
        yield failure(NAME, f"others on this host can reach {_listed(reachable)}", _chmod(reachable, needs.folder))
    if sheltered:
        text = f"only a closed folder above keeps others from {_listed(sheltered)}"
        yield warning(NAME, text, _chmod(sheltered, needs.folder))
    if not facts.open_paths and not facts.unreadable:
        count = plural(facts.secret_files, "file")
        yield ok(NAME, f"secrets/ is closed to others ({count})" if facts.secret_files else "no secrets are kept yet")


def _listed(paths: tuple[OpenPath, ...]) -> str:
    return abridged([f"{item.path} ({item.mode:04o})" for item in paths], _SHOWN)


def _chmod(paths: tuple[OpenPath, ...], folder: Path) -> str:
    if len(paths) > _SHOWN:
        return f"`chmod -R go= {shlex.quote(str(folder / _SECRETS))}`"
    parts = []
    for mode, is_folder in (("700", True), ("600", False)):
        chosen = [shlex.quote(str(folder / item.path)) for item in paths if item.is_folder is is_folder]
        if chosen:
            parts.append(f"chmod {mode} {' '.join(chosen)}")
    return f"`{' && '.join(parts)}`"


def _judge_git(facts: FileFacts, needs: Needs) -> Iterator[Finding]:
    ignore = f"`echo '/{_SECRETS}/' >> {shlex.quote(str(needs.folder / '.gitignore'))}`"
    if facts.git == "tracked":
        text = f"git keeps {facts.git_detail}: whoever has the repository has the secret"
        yield failure(NAME, text, f"`git rm -r --cached {_SECRETS}`, {ignore}, then new values for the secrets")
    elif facts.git == "visible":
        yield failure(NAME, "git does not ignore secrets/: the next `git add` takes them along", ignore)
    elif facts.git == "unknown":
        fix = f"`git -C {shlex.quote(str(needs.folder))} check-ignore {_SECRETS}/any` must name a rule"
        if "dubious ownership" in facts.git_detail or "safe.directory" in facts.git_detail:
            fix = f"`git config --global --add safe.directory {shlex.quote(str(needs.folder))}`, then check again"
        yield warning(NAME, f"whether git ignores secrets/ is not known: {facts.git_detail}", fix)
    elif facts.git == "ignored":
        yield ok(NAME, "git ignores secrets/")
