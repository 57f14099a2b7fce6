"""The little that the conductor asks of the cluster, in its own words: the job's image has no library for that."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from moorage.errors import MoorageError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 30
_TRIES = 8
_TRY_SECONDS = 2.0
# The cluster is busy, its interface is just being replaced, or a token ended while its successor is on the way.
_LATER = (401, 429, 500, 502, 503, 504)
_GONE = 404
_THERE_ALREADY = 409


class ClusterRefused(MoorageError):
    """The cluster's interface answers with a refusal, or not at all."""


@dataclass(frozen=True)
class JobEnd:
    """How a Job ended: well or not, why in the cluster's words, and whether somebody else than its program ended it."""

    is_good: bool
    reason: str
    is_from_outside: bool = False


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

    def create_job(self, job: Mapping[str, Any]) -> None:
        """Make a Job. Its name is nobody else's, so that one that is there was made by a try whose answer was lost.

        Raises ClusterRefused.
        """
        status, body = self._answer("POST", self._jobs(), job, _TRIES)
        if status != _THERE_ALREADY:
            self._refuse(status, body, "POST", self._jobs())

    def delete_job(self, name: str, limit_seconds: float) -> None:
        """End a Job, and wait for the end of its pod: as long as that lives it has the lock and the disks."""
        path = f"{self._jobs()}/{quote(name)}"
        status, body = self._answer("DELETE", path, {"propagationPolicy": "Background"}, _TRIES)
        if status != _GONE:
            self._refuse(status, body, "DELETE", path)
        end = time.monotonic() + limit_seconds
        while self._pods(name) and time.monotonic() < end:
            time.sleep(_TRY_SECONDS / 2)

    def job_end(self, name: str) -> JobEnd | None:
        """How a Job ended; None while it runs."""
        path = f"{self._jobs()}/{quote(name)}"
        code, body = self._answer("GET", path, None, _TRIES)
        if code == _GONE:
            return JobEnd(is_good=False, reason="somebody deleted it", is_from_outside=True)
        self._refuse(code, body, "GET", path)
        for condition in json.loads(body).get("status", {}).get("conditions", []):
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return self._ended(name, condition)
        return None

    def _ended(self, name: str, condition: Mapping[str, Any]) -> JobEnd:
        reason = str(condition.get("reason") or condition["type"])
        why = self._why(name)
        is_late = reason == "DeadlineExceeded"
        return JobEnd(
            condition["type"] == "Complete", why or str(condition.get("message") or reason), bool(why) or is_late
        )

    def _why(self, job: str) -> str:
        """Why its pod was ended from outside, a node that ran out of room for instance; empty when it was not."""
        for pod in self._pods(job):
            status = pod.get("status", {})
            if status.get("reason"):
                return ": ".join(text for text in (status["reason"], status.get("message", "")) if text)
        return ""

    def exit_status(self, name: str) -> int | None:
        """The exit status of a Job's one container; None when it never ran, or nobody knows any more."""
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
        """The names of Jobs with these labels that have a pod right now, the oldest first."""
        found = self._json("GET", f"{self._jobs()}?{urlencode({'labelSelector': labels})}")
        active = [item["metadata"] for item in found.get("items", []) if item.get("status", {}).get("active")]
        # Two of one second are in the order of their names, so that both see the same one first.
        active.sort(key=lambda metadata: (str(metadata["creationTimestamp"]), str(metadata["name"])))
        return [str(metadata["name"]) for metadata in active]

    def config_map(self, name: str) -> dict[str, str] | None:
        """The content of a ConfigMap, None when there is none."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{quote(name)}"
        status, body = self._answer("GET", path, None, _TRIES)
        if status == _GONE:
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
