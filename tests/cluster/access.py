"""What a test holds in its hands: a kubeconfig, and `kubectl` and the Python client that read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes import client, config
from real_node import load_images
from rig import RigError, last_lines

# Clusters that are made to be thrown away. Nothing else is ever touched, whatever KUBECONFIG says.
THROW_AWAY = ("kind-", "minikube")
VARIABLES = ("MOORAGE_TEST_KUBECONFIG", "KUBECONFIG")
WAIT_SECONDS = 120
LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Access:
    """Full rights on a cluster."""

    kubeconfig: Path
    kubectl_program: Path
    # The container of our own real node; empty where there is none.
    container: str = ""
    is_foreign: bool = False

    @property
    def runs_containers(self) -> bool:
        """Tell whether containers really run there; otherwise its nodes only report."""
        return bool(self.container) or self.is_foreign

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = LIMIT_SECONDS) -> str:
        """Run kubectl and return its stdout; raise with what it said when it fails."""
        done = self.try_kubectl(*arguments, stdin=stdin, seconds=seconds)
        if done.returncode:
            raise RigError(f"`kubectl {' '.join(arguments)}` failed:\n{last_lines(done.stdout + done.stderr)}")
        return done.stdout

    def establish(self, definition: str, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Wait until a CustomResourceDefinition answers; `kubectl wait` fails on one so new that it has no condition at all."""
        deadline = time.monotonic() + limit_seconds
        while True:
            found = json.loads(self.kubectl("get", "customresourcedefinition", definition, "-o", "json"))
            conditions = (found.get("status") or {}).get("conditions") or []
            if any((item["type"], item["status"]) == ("Established", "True") for item in conditions):
                return
            if time.monotonic() > deadline:
                raise RigError(f"the API does not serve {definition} after {limit_seconds:.0f} s")
            time.sleep(0.2)

    def try_kubectl(
        self, *arguments: str, stdin: str = "", seconds: float = LIMIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended, for a test that expects a refusal."""
        return subprocess.run(
            [self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def apply(self, namespace: str, *manifests: object) -> None:
        """Apply objects given as plain data."""
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def wait(self, namespace: str, condition: str, *what: str) -> None:
        """Wait until `kubectl wait` sees a condition of what is named to it."""
        self.kubectl("wait", "-n", namespace, f"--for={condition}", *what, f"--timeout={WAIT_SECONDS}s")

    def load_images(self, images: Sequence[str]) -> None:
        """Give images of this machine's engine to the real node; a foreign cluster finds them itself."""
        if self.container:
            load_images(self.container, images)

    def api(self) -> client.ApiClient:
        """Return a client of its own for the official Python library."""
        return api_client(self.kubeconfig)


def api_client(kubeconfig: Path) -> client.ApiClient:
    """Return a client of the official Python library for a kubeconfig."""
    made: client.ApiClient = config.new_client_from_config(config_file=str(kubeconfig))  # type: ignore[no-untyped-call]
    return made


def foreign() -> Access | None:
    """Return the kind or minikube cluster that the environment names, if it names one."""
    for variable in VARIABLES:
        path = os.environ.get(variable, "")
        if not path or os.pathsep in path or not Path(path).is_file():
            continue
        content = yaml.safe_load(Path(path).read_text())
        if str(content.get("current-context", "")).startswith(THROW_AWAY):
            kubectl = shutil.which("kubectl")
            if not kubectl:
                raise RigError(f"{variable} names a cluster, but kubectl is not installed")
            return Access(Path(path), Path(kubectl), is_foreign=True)
    return None
