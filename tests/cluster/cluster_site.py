"""A deployment of notes for a test: a folder with moorage.yaml, and the real program that deploys it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from access import Access

DRIVER = Path(__file__).with_name("without_exec.py")
ENVIRONMENT = "eks-test"
LIMIT_SECONDS = 240
# What the cluster makes by itself, and what tells of it.
_DERIVED = {"Pod", "ReplicaSet", "ControllerRevision", "Endpoints", "EndpointSlice", "Event", "PodMetrics", "Lease"}


class Site:
    """One deployment folder, and the namespace of the same name."""

    def __init__(self, folder: Path, cluster: Access, **settings: Any) -> None:
        self.folder = folder
        self.cluster = cluster
        self.written_name = f"site-{secrets.token_hex(3)}"
        # What the project and the namespace are called.
        self.name = f"{self.written_name}--{ENVIRONMENT}"
        self.settings: dict[str, Any] = {}
        self.images: dict[str, Any] = {"registry": "registry.example.com/acme"}
        self.kubernetes: dict[str, Any] = {
            "context": current_context(cluster.kubeconfig),
            "storage_class": "standard",
            "snapshot_class": "none",
        }
        self.settings |= settings
        folder.mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self) -> None:
        """Write moorage.yaml."""
        content = {
            "name": self.written_name,
            "app": "notes",
            "domain": "notes.example.com",
            "tls": {"mode": "off"},
            "images": self.images,
            "resources": {"host": {"memory": "4Gi", "cpus": 2}},
            "environments": {
                ENVIRONMENT: {"target": "eks", "domain": "notes.localhost", "kubernetes": self.kubernetes}
            },
            **self.settings,
        }
        (self.folder / "moorage.yaml").write_text(yaml.safe_dump(content))

    def command(self, *words: str) -> list[str]:
        """The command line of the program."""
        return [sys.executable, str(DRIVER), "-C", str(self.folder), *words[:1], "-e", ENVIRONMENT, *words[1:]]

    def environment(self, **more: str) -> dict[str, str]:
        """The variables that the program runs with."""
        programs = f"{self.cluster.kubectl_program.parent}:{os.environ['PATH']}"
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "PATH": programs, **more}

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env=self.environment(**more),
            timeout=LIMIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )

    def good(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it; it must end well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def kubectl(self, *words: str) -> str:
        """Ask the namespace."""
        return self.cluster.kubectl("-n", self.name, *words)

    def live(self) -> set[tuple[str, str]]:
        """Kind and name of everything in the namespace and of what belongs to it elsewhere, but for what follows from it."""
        kinds = self.cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        label = f"app.kubernetes.io/instance={self.name}"
        found = json.loads(self.kubectl("get", ",".join(kinds), "-l", label, "-o", "json"))["items"]
        found += json.loads(
            self.cluster.kubectl("get", "namespaces,priorityclasses,storageclasses", "-l", label, "-o", "json")
        )["items"]
        return {
            (item["kind"], item["metadata"]["name"])
            for item in found
            if item["kind"] not in _DERIVED and not item["metadata"].get("ownerReferences")
        }

    def rendered(self) -> set[tuple[str, str]]:
        """Kind and name of everything that the rendered folder and the private one say, and the inventory."""
        facts = json.loads((self.folder / "rendered" / ENVIRONMENT / "k8s" / "cluster.json").read_text())
        overlay = self.folder / "rendered" / ENVIRONMENT / "k8s" / "overlays" / facts["overlay"]
        found = {("ConfigMap", "moorage-inventory")}
        for folder in (overlay, self.folder / "secrets" / ENVIRONMENT / "k8s"):
            text = self.cluster.kubectl("kustomize", str(folder))
            found |= {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(text) if item}
        return found

    def started(self) -> dict[str, str]:
        """Every pod's service and when it began."""
        items = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return {
            item["metadata"]["labels"]["app.kubernetes.io/name"]: item["metadata"]["uid"]
            for item in items
            if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
        }

    def end(self) -> None:
        """Take everything away."""
        self.cluster.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")
        label = f"app.kubernetes.io/instance={self.name}"
        self.cluster.kubectl("delete", "priorityclasses", "-l", label, "--wait=false")


def current_context(kubeconfig: Path) -> str:
    """The context that a test cluster's kubeconfig is for."""
    return str(yaml.safe_load(kubeconfig.read_text())["current-context"])
