"""A deployment of notes whose containers really run: on the rig's node, in the place of minikube's."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from access import Access

ENVIRONMENT = "minikube"
HOST = "notes.localhost"
LIMIT_SECONDS = 900
# The one program that can't be had here is minikube itself: its part is played by the rig's own node.
_MINIKUBE = """#!/bin/sh
case "$*" in
    *" status "*) echo '{{"Host": "Running", "APIServer": "Running"}}' ;;
    *" addons list "*) echo '{{"csi-hostpath-driver": {{"Status": "enabled"}}, "metrics-server": {{"Status": "enabled"}}, "volumesnapshots": {{"Status": "enabled"}}}}' ;;
    *" image ls"*) docker exec {container} ctr --namespace k8s.io images ls -q ;;
    *" image load "*) for image; do :; done; docker save "$image" | docker exec --interactive {container} ctr --namespace k8s.io images import - ;;
esac
"""


class NodeSite:
    """One deployment folder, and the namespace of its environment."""

    def __init__(
        self, folder: Path, cluster: Access, namespace: str = "acme", environment: str = ENVIRONMENT, **settings: Any
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.namespace = namespace
        self.environment = environment
        self.settings = settings
        self.programs = folder.parent / "programs"
        self.programs.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        script = self.programs / "minikube"
        script.write_text(_MINIKUBE.format(container=cluster.container))
        script.chmod(0o755)
        self.write()

    def write(self) -> None:
        """Write moorage.yaml."""
        content = {
            "name": "acme",
            "app": "notes",
            "domain": "notes.example.com",
            "tls": {"mode": "off"},
            "resources": {"host": {"memory": "4Gi", "cpus": 2}},
            "environments": self.environments(),
            **self.settings,
        }
        (self.folder / "moorage.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def environments(self, **more: Any) -> dict[str, Any]:
        """The one environment, with more settings of its cluster."""
        context = yaml.safe_load(self.cluster.kubeconfig.read_text())["current-context"]
        cluster = {"context": context, "kubeconfig": str(self.cluster.kubeconfig), "storage_class": "standard"}
        kubernetes = {**cluster, "namespace": self.namespace, **more}
        own = {"target": "minikube", "domain": HOST, "tls": {"mode": "off"}, "kubernetes": kubernetes}
        return {self.environment: own}

    def command(self, *words: str) -> list[str]:
        """The command line of the program; what follows the command's own name stands behind its environment."""
        options = [word for word in words[:1] if word == "--json"]
        rest = words[len(options) :]
        depth = 2 if rest[0] in ("backup", "secrets") else 1
        command = [sys.executable, "-m", "moorage", "-C", str(self.folder), *options, *rest[:depth]]
        return [*command, "-e", self.environment, *rest[depth:]]

    def variables(self) -> dict[str, str]:
        """The environment that the program runs in. The kubeconfig of the configuration is used, not one of it."""
        path = f"{self.programs}:{self.cluster.kubectl_program.parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": "/nowhere"}

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env=self.variables(),
            timeout=LIMIT_SECONDS,
            input=stdin,
        )

    def started(self, *words: str) -> subprocess.Popen[str]:
        """The program at work, which a test may interrupt, also where it was itself begun in the background."""
        return subprocess.Popen(
            ["env", "--default-signal=INT", *self.command(*words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=self.variables(),
        )

    def must(self, *words: str, stdin: str = "") -> str:
        """Run it; it must end well. Gives both of its outputs."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def kubectl(self, *words: str) -> str:
        """Ask the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, seconds=LIMIT_SECONDS)

    def night(self, name: str) -> str:
        """A night of the CronJob, begun by hand as a Job of that name; it must end well. Gives what it said."""
        self.kubectl("create", "job", "--from=cronjob/backup", name)
        self.kubectl("wait", "--for=condition=Complete", f"--timeout={LIMIT_SECONDS}s", f"job/{name}")
        return self.kubectl("logs", f"job/{name}")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request through the proxy's own port of the node; a JSON answer as data."""
        connection = http.client.HTTPConnection(self.node, self._port(), timeout=30)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Host": HOST, "Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            is_json = "json" in (answer.getheader("Content-Type") or "")
            return answer.status, json.loads(content) if is_json else content.decode()
        finally:
            connection.close()

    def titles(self) -> list[str]:
        """The notes, oldest first."""
        return sorted(item["title"] for item in self.ask("GET", "/api/notes")[1]["notes"])

    def add(self, title: str, private: str = "") -> int:
        """Write a note; gives its number."""
        status, note = self.ask("POST", "/api/notes", {"title": title, "body": "text", "private": private})
        assert status == 201, note
        return int(note["id"])

    @contextmanager
    def asked_all_the_time(self) -> Iterator[Counter[str]]:
        """Requests one after the other, from four visitors; how they were answered, by status or error."""
        answers: Counter[str] = Counter()
        is_over = threading.Event()
        node, port = self.node, self._port()

        def visit() -> None:
            while not is_over.is_set():
                connection = http.client.HTTPConnection(node, port, timeout=30)
                try:
                    connection.request("GET", "/health", headers={"Host": HOST})
                    answer = connection.getresponse()
                    answer.read()
                    answers[str(answer.status)] += 1
                except (OSError, http.client.HTTPException) as error:
                    answers[type(error).__name__] += 1
                finally:
                    connection.close()
                time.sleep(0.02)

        visitors = [threading.Thread(target=visit, daemon=True) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        try:
            yield answers
        finally:
            is_over.set()
            for visitor in visitors:
                visitor.join()

    @property
    def address(self) -> tuple[str, int]:
        """Where this machine reaches the proxy: a node and its port."""
        return self.node, self._port()

    @property
    def node(self) -> str:
        """The address of the node."""
        path = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
        return self.cluster.kubectl("get", "nodes", "-o", path)

    def _port(self) -> int:
        return int(self.kubectl("get", "service", "traefik", "-o", "jsonpath={.spec.ports[0].nodePort}"))
