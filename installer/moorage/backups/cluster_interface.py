"""The little that the conductor asks of the cluster, in its own words: the job's image has no library for that."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from moorage.errors import MoorageError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 30
_TRIES = 8
_TRY_SECONDS = 2.0
# The cluster is busy, or its interface is just being replaced.
_LATER = (429, 500, 502, 503, 504)


class ClusterRefused(MoorageError):
    """The cluster's interface answers with a refusal, or not at all."""


class ClusterInterface:
    """Jobs, pods and ConfigMaps of one namespace, as a pod's own account."""

    def __init__(self, host: str, port: int, namespace: str, account: Path, context: ssl.SSLContext) -> None:
        self.host = host
        self.port = port
        self.namespace = namespace
        self.account = account
        self.context = context

    @classmethod
    def from_pod(cls, namespace: str, account: Path = _ACCOUNT) -> ClusterInterface:
        """As every pod finds it: by its environment and its account's folder."""
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        # Python 3.13 began to ask for an extension that the authorities of many clusters, EKS' among them, don't have.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        return cls(host, int(os.environ.get("KUBERNETES_SERVICE_PORT_HTTPS", "443")), namespace, account, context)

    def create_job(self, job: Mapping[str, Any]) -> str:
        """Make a Job; gives its name. Raises ClusterRefused."""
        made = self._json("POST", f"/apis/batch/v1/namespaces/{self.namespace}/jobs", job, tries=1)
        return str(made["metadata"]["name"])

    def delete_job(self, name: str) -> None:
        """End a Job and its pod."""
        self._json("DELETE", f"{self._jobs()}/{quote(name)}", {"propagationPolicy": "Background"})

    def job_end(self, name: str) -> str | None:
        """How a Job ended, in the cluster's words; None while it runs."""
        status = self._json("GET", f"{self._jobs()}/{quote(name)}").get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return str(condition.get("message") or condition.get("reason") or condition["type"])
        return None

    def exit_status(self, name: str) -> int | None:
        """The exit status of a Job's one container; None when it never ran."""
        for pod in self._pods(name):
            for container in pod.get("status", {}).get("containerStatuses", []):
                ended = container.get("state", {}).get("terminated")
                if ended is not None:
                    return int(ended["exitCode"])
        return None

    def log(self, name: str, lines: int) -> str:
        """The last lines that a Job's container wrote; empty when there are none to be had."""
        for pod in self._pods(name):
            pod_name = quote(pod["metadata"]["name"])
            query = urlencode({"tailLines": lines})
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod_name}/log?{query}"
            try:
                return self._request("GET", path).decode(errors="replace")
            except ClusterRefused:
                continue
        return ""

    def active_jobs(self, labels: str) -> list[str]:
        """The names of Jobs with these labels that have a pod right now."""
        found = self._json("GET", f"{self._jobs()}?{urlencode({'labelSelector': labels})}")
        return [
            str(item["metadata"]["name"]) for item in found.get("items", []) if item.get("status", {}).get("active")
        ]

    def config_map(self, name: str) -> dict[str, str] | None:
        """The content of a ConfigMap, None when there is none."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{quote(name)}"
        status, body = self._answer("GET", path, None, _TRIES)
        if status == 404:
            return None
        self._refuse(status, body, "GET", path)
        return dict(json.loads(body).get("data") or {})

    def put_config_map(self, name: str, data: Mapping[str, str]) -> None:
        """Make or replace a ConfigMap."""
        content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}
        path = f"/api/v1/namespaces/{self.namespace}/configmaps"
        if self.config_map(name) is None:
            self._json("POST", path, content, tries=1)
        else:
            self._json("PUT", f"{path}/{quote(name)}", content)

    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def _pods(self, job: str) -> list[dict[str, Any]]:
        query = urlencode({"labelSelector": f"job-name={job}"})
        found = self._json("GET", f"/api/v1/namespaces/{self.namespace}/pods?{query}")
        return list(found.get("items", []))

    def _json(self, method: str, path: str, content: object = None, *, tries: int = _TRIES) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._request(method, path, content, tries=tries))
        return answer

    def _request(self, method: str, path: str, content: object = None, *, tries: int = _TRIES) -> bytes:
        status, body = self._answer(method, path, content, tries)
        self._refuse(status, body, method, path)
        return body

    def _answer(self, method: str, path: str, content: object, tries: int) -> tuple[int, bytes]:
        """One answer. A question is repeated while the cluster is away; an order that may have made something is not."""
        failure: Exception | None = None
        for attempt in range(tries):
            if attempt:
                time.sleep(_TRY_SECONDS * attempt)
            try:
                status, body = self._once(method, path, content)
            except (OSError, http.client.HTTPException) as error:
                failure = error
                continue
            if status not in _LATER or attempt == tries - 1:
                return status, body
        raise ClusterRefused(f"the cluster does not answer: {type(failure).__name__}: {failure}")

    @staticmethod
    def _refuse(status: int, body: bytes, method: str, path: str) -> None:
        if status >= 300:
            place = path.partition("?")[0]
            raise ClusterRefused(
                f"{method} {place} was answered by {status}: {_message(body)}",
                "`kubectl describe role` says what the job's account may do",
            )

    def _once(self, method: str, path: str, content: object) -> tuple[int, bytes]:
        # Read anew each time: the cluster exchanges it within the hour.
        token = (self.account / "token").read_text(encoding="utf-8").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=_TIMEOUT_SECONDS, context=self.context)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, headers if "/log?" not in path else {**headers, "Accept": "*/*"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        return body[:200].decode(errors="replace")
