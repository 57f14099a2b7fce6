"""A real node: containerd, kubelet and kube-proxy in a throw-away container, so that this machine's network and kernel stay as they are."""

from __future__ import annotations

import io
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import debian_packages
import go_programs
import processes
from control_plane import ControlPlane, write_kubeconfig
from processes import Part
from rig import RigError, exclusively, last_lines, run, say

HERE = Path(__file__).resolve().parent
NAME = "node"
IMAGE = "moorage-test/server:trixie"
PAUSE = "moorage-test/pause:latest"
BASE = "busybox:stable"
START_LIMIT_SECONDS = 120
LOAD_LIMIT_SECONDS = 600
VOLUMES = "/var/lib/moorage-test-volumes"
# What a node needs when --privileged is not to be had. Its control groups, unlike a fresh server's, are below the container's own.
RIGHTS = (
    *("--cap-add", "ALL"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device-cgroup-rule", "a *:* rwm"),
    *("--cgroupns", "private"),
    *("--tmpfs", "/run:exec"),
    *("--tmpfs", "/tmp:exec"),
)


class RealNode:
    """A node in a container, for the time of a `with` block; it ends with this process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Prepare a node that shares a part of `folder` with this machine."""
        self.container = f"moorage-node-{secrets.token_hex(4)}"
        self._shared = folder / NAME
        self._parts: list[Part] = []

    def __enter__(self) -> RealNode:
        """Start the container, and wait until containerd answers in it."""
        shutil.copytree(HERE / "node", self._shared)
        for name in ("keys", "logs"):
            (self._shared / name).mkdir(mode=0o700)
        # Its process 1 waits for the end of this input: no container stays when nobody is there to remove it.
        command = ["docker", "run", *self._options(), IMAGE]
        self._parts.append(processes.start("node", command, self._shared / "logs", holds_stdin=True))
        processes.wait_until("containerd answers", self._answers, self._parts, START_LIMIT_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the container with its volumes; tell what its programs wrote when something went wrong."""
        if error:
            say(self.story())
        run(["docker", "rm", "--force", "--volumes", self.container], timeout_seconds=60)
        self.part.end()

    @property
    def part(self) -> Part:
        """Return the program that holds the container."""
        return self._parts[0]

    @property
    def address(self) -> str:
        """Return the address under which this machine and the control plane reach the node."""
        return self._inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}").split()[0]

    @property
    def network(self) -> Path:
        """Return the network namespace of the node."""
        return Path(f"/proc/{self._inspect('{{.State.Pid}}')}/ns/net")

    def join(self, plane: ControlPlane) -> None:
        """Give the node its identities; it starts its parts as soon as the last one is there."""
        keys, authority = self._shared / "keys", plane.authority
        (keys / "ca.crt").write_bytes(authority.certificate)
        authority.issue(f"system:node:{NAME}", ["system:nodes"], [NAME, self.address]).write(keys, "kubelet")
        kubelet = authority.issue(f"system:node:{NAME}", ["system:nodes"])
        write_kubeconfig(keys / "kubelet.kubeconfig", authority, plane.server, kubelet)
        write_kubeconfig(keys / "kube-proxy.kubeconfig", authority, plane.server, authority.issue("system:kube-proxy"))
        (keys / "complete").touch()

    def make_folder(self, path: str) -> None:
        """Make a folder on the node that every pod may write to, as provisioners of folders do."""
        self.run(["mkdir", "-p", "-m", "0777", path])

    def remove_folder(self, path: str) -> None:
        """Remove a folder from the node with all that is in it."""
        self.run(["rm", "-rf", path])

    def run(self, arguments: Sequence[str], stdin: str = "") -> str:
        """Run a program on the node and return its stdout."""
        return _fed(["docker", "exec", "--interactive", self.container, *arguments], stdin.encode())

    def story(self) -> str:
        """Return the last lines of everything that runs on the node."""
        logs = sorted((self._shared / "logs").glob("*.log"))
        return "\n".join(f"{log.name}:\n{last_lines(log.read_text(errors='replace'))}" for log in logs)

    def _options(self) -> list[str]:
        kube, plugins = go_programs.compiled("kubernetes"), network_plugins()
        shared = [f"{kube}:/usr/local/bin/kube:ro", f"{plugins}:/usr/lib/cni:ro", f"{self._shared}:/node"]
        # Layers and data on a file system of the machine: an overlay can't lie on an overlay.
        own = ["/var/lib/containerd", "/var/lib/kubelet", VOLUMES]
        volumes = [word for each in [*shared, *own] for word in ("--volume", each)]
        names = ["--name", self.container, "--hostname", NAME, "--entrypoint", "/node/run.sh"]
        return ["--rm", "--interactive", "--pull", "never", *names, *volumes, *RIGHTS]

    def _answers(self) -> bool:
        command = ["docker", "exec", self.container, "ctr", "version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _inspect(self, template: str) -> str:
        return run(["docker", "inspect", "--format", template, self.container], timeout_seconds=60).strip()


def network_plugins() -> Path:
    """Return the folder of the CNI plugins, fetched into the cache when they are not there yet."""
    with exclusively("packages"):
        package = "containernetworking-plugins"
        return debian_packages.unpacked(package, [package]) / "usr/lib/cni"


def load_images(container: str, images: Sequence[str]) -> None:
    """Give images of this machine's engine to a node."""
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
        command = [
            "docker",
            "exec",
            "--interactive",
            container,
            "ctr",
            "--namespace",
            "k8s.io",
            "images",
            "import",
            "-",
        ]
        load = subprocess.run(
            command, stdin=save.stdout, capture_output=True, text=True, timeout=LOAD_LIMIT_SECONDS, check=False
        )
    if save.returncode or load.returncode:
        raise RigError(f"loading {', '.join(images)} failed:\n{last_lines(load.stdout + load.stderr)}")


def own_images() -> tuple[str, str]:
    """Make the images that a node itself needs, and return their names: what holds a pod's network, and the DNS server."""
    dns = go_programs.compiled("coredns")
    dns_image = f"moorage-test/coredns:{dns.parent.name}"
    if not _has_image(PAUSE):
        _fed(
            ["docker", "build", "--pull=false", "--tag", PAUSE, "-"],
            f'FROM {BASE}\nCMD ["sleep", "2147483647"]\n'.encode(),
        )
    if not _has_image(dns_image):
        _fed(["docker", "import", "--change", 'ENTRYPOINT ["/coredns"]', "-", dns_image], _archive(dns, "coredns"))
    return PAUSE, dns_image


def _has_image(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0


def _fed(command: Sequence[str], content: bytes) -> str:
    """Run a program with something to read, and return its stdout."""
    done = subprocess.run(command, input=content, capture_output=True, timeout=LOAD_LIMIT_SECONDS, check=False)
    if done.returncode:
        raise RigError(f"`{' '.join(command)}` failed:\n{last_lines((done.stdout + done.stderr).decode())}")
    return done.stdout.decode()


def _archive(program: Path, name: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, arcname=name)
    return archive.getvalue()
