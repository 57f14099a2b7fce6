"""Logs: containers that moorage does not start take Docker's own default, which has no limit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from moorage.checks.asking import Engine, engine_silent
from moorage.checks.base import Finding, Needs, ok, warning

NAME = "logs"
_STANDARD_FILE = Path("/etc/docker/daemon.json")

# json-file grows for ever unless told otherwise; local keeps 100 MB; the others write to somebody else's log.
_UNLIMITED = ("json-file",)


@dataclass(frozen=True)
class LogFacts:
    """Docker's default log driver and its options (None: unknown, for the reason given)."""

    engine_answers: bool
    driver: str = ""
    options: Mapping[str, str] | None = field(default_factory=dict)
    file: Path = _STANDARD_FILE
    reason: str = ""


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look at Docker's log defaults and judge."""
    return judge(gather(engine), needs)


def gather(engine: Engine, proc: Path = Path("/proc"), standard_file: Path = _STANDARD_FILE) -> LogFacts:
    """The driver from the engine, its options from daemon.json and from the command line of dockerd."""
    view = engine.view()
    if not view.answers:
        return LogFacts(engine_answers=False)
    words = _daemon_command(proc)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    file = Path(_option(words, "--config-file") or (home / "docker/daemon.json" if view.is_rootless else standard_file))
    driver = str(view.info.get("LoggingDriver") or "")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        written = {str(name): str(value) for name, value in (content.get("log-opts") or {}).items()}
    except FileNotFoundError:
        written = {}
    except OSError as error:
        return LogFacts(True, driver, None, file, f"{file} cannot be read: {error.strerror}")
    except (ValueError, AttributeError):
        return LogFacts(True, driver, None, file, f"{file} is not a JSON object")
    given = dict(item.partition("=")[::2] for item in _options(words, "--log-opt"))
    return LogFacts(True, driver, {**written, **given}, file)


def judge(facts: LogFacts, needs: Needs) -> tuple[Finding, ...]:
    """The one line about Docker's log defaults."""
    if not facts.engine_answers:
        return (engine_silent(NAME),)
    is_limited = facts.driver not in _UNLIMITED or bool((facts.options or {}).get("max-size"))
    if is_limited:
        size = (facts.options or {}).get("max-size", "")
        shown = f" with at most {size} a file" if size else ""
        return (ok(NAME, f"containers that others start log by {facts.driver}{shown}"),)
    if not needs.creates_containers:
        note = "every container of this stack has its limit"
        return (ok(NAME, f"{note}; Docker's own default has none"),)
    proposal = f"rendered/{needs.environment}/host/docker/daemon.json"
    fix = (
        f"put `log-opts` of {proposal} into {facts.file}, then `systemctl restart docker`; it holds for new containers"
    )
    if facts.options is None:
        text = f"whether the containers that the app starts log without limit is not known: {facts.reason}"
        return (warning(NAME, text, fix),)
    return (warning(NAME, "the containers that the app starts log without limit, until the disk is full", fix),)


def _daemon_command(proc: Path) -> tuple[str, ...]:
    """The command line of this host's dockerd, the oldest if there are several; empty when it is not seen."""
    try:
        pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit())
    except OSError:
        return ()
    for pid in pids:
        place = proc / str(pid)
        try:
            if (place / "comm").read_text(encoding="utf-8", errors="replace").strip() == "dockerd":
                raw = (place / "cmdline").read_bytes().decode(errors="replace")
                return tuple(raw.rstrip("\0").split("\0"))
        except OSError:
            continue
    return ()


def _options(words: tuple[str, ...], name: str) -> list[str]:
    """The values of a repeatable option, written as `--name value` or `--name=value`."""
    apart = [value for word, value in pairwise(words) if word == name]
    return apart + [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _option(words: tuple[str, ...], name: str) -> str:
    return next(iter(_options(words, name)), "")
