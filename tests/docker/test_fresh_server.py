"""A fresh server, systemd and all: install from the wheel, boot, timers, an engine that is restarted."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import need
from tests.docker.site import docker

pytestmark = [pytest.mark.server, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
IMAGES = ["traefik:v3.7.15", "postgres:17", "redis:7", "notes:latest"]

CONFIG = """\
name: acme
app: ./app/compose.yaml
domain: notes.example.com
tls: {mode: internal-ca}
resources: {host: {memory: 4Gi, cpus: 2}}
"""


def test_install_boot_and_timers(engine: None, tmp_path: Path) -> None:
    present = set(docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    need("moorage-test/server:bookworm" in present, "the image moorage-test/server:bookworm (make images)")
    from server import FreshServer

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "-w", str(tmp_path / "wheels"), str(ROOT)], check=True
    )
    app = tmp_path / "app"
    app.mkdir()
    text = (
        (ROOT / "compose" / "apps" / "notes" / "compose.yaml")
        .read_text(encoding="utf-8")
        .replace("    build: .\n", "")
        .replace("  build: .\n", "")
    )
    scheduled = "    stamp:\n      service: web\n      command: [python3, -c, \"open('/srv/uploads/stamp', 'a').write('x')\"]\n      schedule: '* * * * *'\n"
    app.joinpath("compose.yaml").write_text(
        text.replace("\nx-process:", f"{scheduled}\nx-process:", 1), encoding="utf-8"
    )
    with FreshServer() as server:
        server.copy_in(tmp_path / "wheels", "/root")
        server.copy_in(app, "/srv/acme")
        server.load_images(IMAGES)
        server.run(
            [
                "sh",
                "-c",
                "python3 -m venv /opt/moorage && /opt/moorage/bin/pip install -q --no-index --find-links /root/wheels moorage",
            ],
            timeout_seconds=600,
        )
        server.run(["sh", "-c", f"cat > /srv/acme/moorage.yaml <<'YAML'\n{CONFIG}YAML"])
        up = server.run(["/opt/moorage/bin/moorage", "-C", "/srv/acme", "up", "--skip-checks"], timeout_seconds=600)
        assert "systemd starts acme at boot and runs its timers" in up.stderr, up.stderr
        assert server.run(["systemctl", "is-active", "moorage-acme.service"]).stdout.strip() == "active"
        note = _ask(
            server, "-X", "POST", "-H", "Content-Type: application/json", "-d", '{"title": "stays"}', path="/api/notes"
        )
        assert '"title":"stays"' in note.replace(" ", "")
        server.run(["systemctl", "restart", "docker"])
        assert _healthy(server), "the stack did not come back after the engine was restarted"
        server.reboot()
        assert _healthy(server), "the stack did not come back after a reboot"
        assert "stays" in _ask(server, path="/api/notes")
        assert server.run(["systemctl", "is-active", "moorage-acme.service"]).stdout.strip() == "active"
        assert _green(server), "not everything is green after the reboot"
        plan = server.run(["/opt/moorage/bin/moorage", "-C", "/srv/acme", "plan"])
        assert "nothing to do" in plan.stderr
        _wait_for_timer(server)
        assert server.run(["systemctl", "is-active", "moorage-acme.backup.timer"]).stdout.strip() == "active"
        # The night starts its container where systemd knows nothing but the unit's file.
        server.run(["systemctl", "start", "moorage-acme.backup.service"], check=False, timeout_seconds=300)
        said = server.run(["journalctl", "-o", "cat", "-u", "moorage-acme.backup.service"]).stdout
        assert "acme_backup-work" in server.run(["docker", "volume", "ls", "-q"]).stdout, said
        server.run(["/opt/moorage/bin/moorage", "-C", "/srv/acme", "uninstall", "--yes"])
        assert server.run(["sh", "-c", "ls /etc/systemd/system | grep moorage || true"]).stdout.strip() == ""


def _ask(server, *options: str, path: str) -> str:  # type: ignore[no-untyped-def]
    url = f"https://notes.example.com{path}"
    command = [
        "curl",
        "-sS",
        "--cacert",
        "/srv/acme/secrets/compose/tls/ca.crt",
        "--resolve",
        "notes.example.com:443:127.0.0.1",
        *options,
        url,
    ]
    return str(server.run(command, check=False).stdout)


def _healthy(server) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if '"status":"ok"' in _ask(server, path="/health"):
            return True
        time.sleep(1)
    return False


def _green(server) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if server.run(["/opt/moorage/bin/moorage", "-C", "/srv/acme", "status"], check=False).returncode == 0:
            return True
        time.sleep(1)
    return False


def _wait_for_timer(server) -> None:  # type: ignore[no-untyped-def]
    """The job is due every minute, with up to a minute of random delay."""
    end = time.monotonic() + 200
    while time.monotonic() < end:
        found = server.run(
            ["docker", "run", "--rm", "-v", "acme_uploads:/u:ro", "notes:latest", "ls", "/u"], check=False
        ).stdout
        if "stamp" in found:
            return
        time.sleep(3)
    pytest.fail(
        str(
            server.run(
                ["sh", "-c", "systemctl list-timers --all; journalctl -u 'moorage-acme.stamp*' | tail -30"], check=False
            ).stdout
        )
    )
