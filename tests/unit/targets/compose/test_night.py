"""The script of a night, with a stand-in for `docker`: which phases run, what it ends with, whom it tells."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from moorage import flow
from tests.unit.given import deployment

WEB = {"services": {"web": {"image": "nginx:1.27", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}}}
# Ends with the status that stands in a file named after the phase; `slow` waits until it is told to end.
DOCKER = """\
#!/bin/sh
echo "$PWD: $*" >>"{log}"
case "$*" in *" take "*) phase=take ;; *" drill "*) phase=drill ;; *) phase=conclude ;; esac
if [ -e "{folder}/$phase.slow" ]; then
    trap 'exit 130' TERM INT
    : >"{folder}/$phase.begun"
    i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
fi
[ -e "{folder}/$phase.status" ] && exit "$(cat "{folder}/$phase.status")"
exit 0
"""
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


class Night:
    """A rendered folder, and a folder with programs for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = folder / "told"
        hook = f"backups: {{on_failure: [sh, -c, 'echo \"$MOORAGE_PROJECT $MOORAGE_ENVIRONMENT $MOORAGE_STATUS $MOORAGE_PHASE $MOORAGE_FOLDER\" >>{self.told}']}}\n"
        found = deployment(folder / "site", WEB, hook)
        flow.render(found.stack).public.write(found.rendered_folder)
        self.site = found.folder
        self.script = found.rendered_folder / "backups" / "night.sh"
        self.log = folder / "log"
        self.log.touch()
        programs = folder / "programs"
        programs.mkdir()
        (programs / "docker").write_text(DOCKER.format(log=self.log, folder=folder))
        (programs / "docker").chmod(0o755)
        self.environment = {"PATH": f"{programs}:/usr/bin:/bin"}

    def ends_with(self, **statuses: int) -> None:
        for phase, status in statuses.items():
            (self.folder / f"{phase}.status").write_text(str(status))

    def start(self, shell: str = "sh", environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        words = ["busybox", "sh"] if shell == "busybox" else [shell]
        return subprocess.Popen(
            [*words, str(self.script)], env=environment or self.environment, cwd="/", text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, shell: str = "sh") -> tuple[int, str]:
        process = self.start(shell)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    def phases(self) -> list[str]:
        return [line.partition(" -T ")[2] for line in self.log.read_text().splitlines()]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_good_night_is_three_phases_and_tells_nobody(night: Night, shell: str) -> None:
    assert night.run(shell) == (0, "")
    plan = "--plan /plan/plan.json"
    assert night.phases() == [f"backup take {plan}", f"backup-drill drill {plan}", f"backup conclude {plan}"]
    assert night.log.read_text().startswith(f"{night.site}/rendered/compose/compose: compose run --rm --no-deps -T ")
    assert not night.told.exists()


@pytest.mark.parametrize(
    ("statuses", "status", "phases"),
    [
        ({"take": 25}, 25, ["take", "conclude"]),
        ({"take": 137}, 137, ["take", "conclude"]),
        ({"drill": 34}, 34, ["take", "drill", "conclude"]),
        ({"conclude": 28}, 28, ["take", "drill", "conclude"]),
        ({"take": 25, "conclude": 28}, 25, ["take", "conclude"]),
        ({"drill": 34, "conclude": 28}, 34, ["take", "drill", "conclude"]),
    ],
)
def test_a_failure_is_concluded_and_told_with_the_status_of_the_first(
    night: Night, statuses: dict[str, int], status: int, phases: list[str]
) -> None:
    night.ends_with(**statuses)
    found, errors = night.run()
    assert found == status
    assert [line.split()[1] for line in night.phases()] == phases
    first = next(iter(statuses))
    assert night.told.read_text() == f"acme compose {status} {first} {night.site}\n"
    assert f"night.sh: {first} of acme ended with status {status}" in errors


def test_two_nights_at_once_do_not_meet_and_the_second_is_told(night: Night) -> None:
    descriptor = os.open(night.script.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status, errors = night.run()
    finally:
        os.close(descriptor)
    assert status == 23
    assert "another night of acme is still under way" in errors
    assert night.phases() == []
    assert night.told.read_text() == f"acme compose 23 lock {night.site}\n"
    assert night.run()[0] == 0, "the lock goes with its holder"


def test_a_night_that_is_told_to_stop_still_concludes(night: Night) -> None:
    (night.folder / "take.slow").touch()
    process = night.start()
    while not (night.folder / "take.begun").exists():
        time.sleep(0.02)
    # As systemd does it: everybody of the group at once.
    for line in subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    ).stdout.split():
        os.kill(int(line), signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line.split()[1] for line in night.phases()] == ["take", "conclude"]


def test_a_hook_that_fails_or_is_not_there_changes_nothing(night: Night) -> None:
    night.ends_with(take=25)
    hook = night.script.parent / "on-failure.sh"
    hook.write_text("#!/bin/sh\nexit 3\n")
    status, errors = night.run()
    assert status == 25
    assert "the command of backups.on_failure failed with status 3" in errors
    hook.unlink()
    assert night.run()[0] == 25


def test_cron_gives_no_environment_at_all(night: Night) -> None:
    """Then the programs of the system are found all the same; there is no docker in a folder that nobody names."""
    night.environment = {"HOME": str(night.folder)}
    settings = night.script.parent / "night.settings"
    settings.write_text(settings.read_text() + f"PATH={night.folder}/programs:$PATH\n")
    assert night.run()[0] == 0


def test_the_script_holds_to_what_shellcheck_asks() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not here")
    script = Path(__file__).parents[4] / "backups" / "night.sh"
    found = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
