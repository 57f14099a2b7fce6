"""The control plane of Kubernetes as plain processes: etcd, the API server, the controllers, the scheduler."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import go_programs
import processes
import tools
from certificates import Authority, Identity, signing_key, write_private
from processes import Part

START_LIMIT_SECONDS = 180
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
POD_RANGE = "10.244.0.0/16"
ETCD_SOCKET = "etcd:1"
DOMAIN = "cluster.local"


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane: where it answers, who signs for it, its processes and its folder."""

    server: str
    authority: Authority
    parts: tuple[Part, ...]
    folder: Path


class Place(Protocol):
    """A network namespace of its own, and the address in it that this machine reaches."""

    @property
    def address(self) -> str:
        """Return the address."""

    @property
    def network(self) -> Path:
        """Return the file of the namespace."""


def start(folder: Path, place: Place | None = None) -> ControlPlane:
    """Start a control plane with its data in `folder`, and wait until it is ready.

    It answers on a loopback port of this machine, or in another network, where it reaches pods and services.
    """
    address = place.address if place else "127.0.0.1"
    programs = go_programs.linked("kubernetes", folder / "programs", PROGRAMS)
    authority = Authority()
    server = f"https://{address}:{6443 if place else _free_port()}"
    keys = _write_keys(folder, authority, server, address)
    inside = ["nsenter", f"--net={place.network}", "--"] if place else []
    etcd = processes.start("etcd", _etcd(folder), folder)
    socket_file = folder / ETCD_SOCKET
    processes.wait_until("etcd listens", socket_file.exists, [etcd], START_LIMIT_SECONDS)
    api = processes.start(
        "kube-apiserver", [*inside, programs / "kube-apiserver", *_api_server(keys, socket_file, server)], folder
    )
    admin = keys / "admin.crt", keys / "admin.key"
    processes.wait_until(
        "the API server is ready", lambda: _is_ready(server, keys / "ca.crt", admin), [etcd, api], START_LIMIT_SECONDS
    )
    controllers = processes.start(
        "kube-controller-manager", [programs / "kube-controller-manager", *_controllers(keys)], folder
    )
    scheduler = processes.start("kube-scheduler", [programs / "kube-scheduler", *_scheduler(keys)], folder)
    return ControlPlane(server, authority, (etcd, api, controllers, scheduler), folder)


def _write_keys(folder: Path, authority: Authority, server: str, address: str) -> Path:
    """Write every certificate, key and kubeconfig of the control plane, and the administrator's kubeconfig."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{DOMAIN}",
    ]
    authority.identity.write(keys, "ca")
    authority.issue("kube-apiserver", names=[*names, SERVICE_ADDRESS, address]).write(keys, "server")
    authority.issue("kube-apiserver-kubelet-client", ["system:masters"]).write(keys, "kubelet-client")
    write_private(keys / "service-accounts.key", signing_key())
    for name in ("kube-controller-manager", "kube-scheduler"):
        write_kubeconfig(keys / f"{name}.kubeconfig", authority, server, authority.issue(f"system:{name}"))
    admin = authority.issue("admin", ["system:masters"])
    admin.write(keys, "admin")
    write_kubeconfig(folder / "kubeconfig", authority, server, admin)
    return keys


def write_kubeconfig(path: Path, authority: Authority, server: str, identity: Identity) -> Path:
    """Write a kubeconfig for its owner only, and return its path."""
    return write_private(path, authority.kubeconfig(server, identity).encode())


def _etcd(folder: Path) -> Sequence[str | Path]:
    # Sockets in a closed folder: nobody else on the machine reaches the data. Nothing here has to survive a crash.
    # What must look like host and port is the name of a socket in the working folder.
    client, peer = f"unix://{ETCD_SOCKET}", "unix://peer:1"
    return [
        tools.fetch("etcd"),
        *("--data-dir", folder / "etcd"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        *("--unsafe-no-fsync", "--log-level", "warn"),
    ]


def _api_server(keys: Path, etcd: Path, server: str) -> list[str]:
    host, port = server.removeprefix("https://").rsplit(":", 1)
    return [
        f"--etcd-servers=unix://{etcd}",
        f"--bind-address={host}",
        f"--secure-port={port}",
        # The address that pods reach it by cannot be a loopback one, so nobody tells it to them then.
        *(["--endpoint-reconciler-type=none"] if host.startswith("127.") else [f"--advertise-address={host}"]),
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        # The default ones, Pod Security among them, and what kubeadm adds.
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={keys}/ca.crt",
        f"--tls-cert-file={keys}/server.crt",
        f"--tls-private-key-file={keys}/server.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/kubelet-client.crt",
        f"--kubelet-client-key={keys}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={keys}/service-accounts.key",
        f"--service-account-signing-key-file={keys}/service-accounts.key",
        "--profiling=false",
    ]


def _controllers(keys: Path) -> list[str]:
    kubeconfig = f"{keys}/kube-controller-manager.kubeconfig"
    return [
        f"--kubeconfig={kubeconfig}",
        "--secure-port=0",
        # One of each: a slow machine would lose the election against nobody.
        "--leader-elect=false",
        # It makes some thirty accounts for itself before it begins; its own pace is meant for a shared server.
        "--use-service-account-credentials=true",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_RANGE}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--root-ca-file={keys}/ca.crt",
        f"--service-account-private-key-file={keys}/service-accounts.key",
        f"--cluster-signing-cert-file={keys}/ca.crt",
        f"--cluster-signing-key-file={keys}/ca.key",
        "--profiling=false",
    ]


def _scheduler(keys: Path) -> list[str]:
    return [
        f"--kubeconfig={keys}/kube-scheduler.kubeconfig",
        "--secure-port=0",
        "--leader-elect=false",
        "--profiling=false",
    ]


def _is_ready(server: str, ca: Path, admin: tuple[Path, Path]) -> bool:
    trust = ssl.create_default_context(cafile=str(ca))
    trust.load_cert_chain(*map(str, admin))
    try:
        with urllib.request.urlopen(f"{server}/readyz", context=trust, timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
