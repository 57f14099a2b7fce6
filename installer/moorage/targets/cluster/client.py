"""One cluster, asked through the official client: any kind by discovery, with patience where that helps."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from moorage.errors import MoorageError
from moorage.targets.cluster.failures import ApiError, Unreachable, from_answer, is_worth_another_try, unreachable
from moorage.targets.cluster.kubeconfig import KubeContext, kubeconfig_path, refuse_missing_plugin
from moorage.targets.cluster.objects import Identity, Object, identity
from moorage.targets.k8s.names import FIELD_MANAGER

_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 10.0
_ANSWER_SECONDS = 60
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


@dataclass(frozen=True)
class Kind:
    """How objects of one kind are addressed."""

    api_version: str
    plural: str
    is_namespaced: bool

    def address(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """The path of one object, of all in a namespace, or of all."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        place = f"/namespaces/{quote(namespace)}" if self.is_namespaced and namespace else ""
        return root + place + f"/{self.plural}" + (f"/{quote(name)}" if name else "") + (f"/{part}" if part else "")


class MissingKind(MoorageError):
    """The cluster does not know objects of that kind."""


class Cluster:
    """An API server, spoken to as the user of one context."""

    def __init__(self, context: KubeContext, kubeconfig: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.context = context
        self._path = kubeconfig_path(kubeconfig)
        self._pause = pause
        self._known: dict[str, dict[str, Kind]] = {}
        self._guard = threading.Lock()
        self._api = self.new_api()
        self._requests = _requests(self._api)
        self.refusal: MoorageError | None = None  # set when somebody else is found to change the same

    def new_api(self) -> Any:
        """A client of the official library of its own. Raises MoorageError when logging in fails."""
        from kubernetes.config import new_client_from_config
        from kubernetes.config.config_exception import ConfigException

        refuse_missing_plugin(self.context, self._path)
        heard = _Heard()
        root = logging.getLogger()
        root.addHandler(heard)
        try:
            made = new_client_from_config(config_file=self._path, context=self.context.name)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise MoorageError(f"the context {self.context.name} can't be used: {error}") from None
        finally:
            root.removeHandler(heard)
        if heard.errors:
            # The library only logs why a plugin gave no credentials, and would go on as nobody.
            raise MoorageError(
                f"logging in to {self.context.name} failed: {heard.errors[-1].removeprefix('exec: ')}",
                f"`{self.context.plugin}` says more when you run it yourself" if self.context.plugin else "",
            )
        return made

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
        verb: str = "",
        what: str = "",
        attempts: int = _ATTEMPTS,
    ) -> Any:
        """One request, and the answer as plain data. Raises ApiError or Unreachable after the last attempt."""
        for number in range(1, attempts + 1):
            if self.refusal is not None and method != "GET":
                raise self.refusal
            try:
                return self._once(method, path, body, query, content_type, verb or method, what or path)
            except ApiError as error:
                if number == attempts or not is_worth_another_try(error):
                    raise
            except Unreachable:
                if number == attempts:
                    raise
            # Half of it by chance: many clients that were turned away together shall not come back together.
            longest = min(_LONGEST_PAUSE_SECONDS, 0.2 * 2**number)
            self._pause(longest * (0.5 + random.random() / 2))  # noqa: S311 - no secret follows from it
        raise AssertionError("unreachable")

    def _once(
        self, method: str, path: str, body: Any, query: Sequence[tuple[str, str]], content: str, verb: str, what: str
    ) -> Any:
        answer = self.raw(method, path, body=body, query=query, content_type=content, verb=verb, what=what)
        text = answer.data
        return json.loads(text) if text else {}

    def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
        verb: str = "",
        what: str = "",
        seconds: float | None = _ANSWER_SECONDS,
    ) -> Any:
        """One attempt; gives the answer as it comes, its body not read yet. Raises ApiError or Unreachable."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        # Bytes pass through every version of the library as they are.
        payload = json.dumps(body).encode() if content_type == _APPLY else body
        try:
            return self._requests(
                method.lower(),
                path,
                body=payload,
                query_params=list(query),
                content_type=content_type,
                _request_timeout=seconds,
            )
        except ApiException as error:
            raise from_answer(error.status or 0, error.body, verb or method, what or path) from None
        except HTTPError as error:
            raise unreachable(self.context.server, error) from None

    def text(self, path: str, query: Sequence[tuple[str, str]] = (), what: str = "") -> str:
        """What is no JSON, a log for instance. Raises ApiError, Unreachable."""
        return str(self.raw("GET", path, query=query, verb="read", what=what).data.decode(errors="replace"))

    def version(self) -> str:
        """The server's version, as `v1.35.4`; asked once only, so that a dead server is told at once."""
        return str(self.request("GET", "/version", attempts=1, verb="ask", what="the server's version")["gitVersion"])

    def kind(self, api_version: str, kind: str) -> Kind:
        """How objects of that kind are addressed. Raises MissingKind."""
        with self._guard:
            if api_version not in self._known:
                self._known[api_version] = self._discovered(api_version)
            found = self._known[api_version].get(kind)
        if found is None:
            raise MissingKind(f"the cluster knows no {kind} ({api_version})")
        return found

    def _discovered(self, api_version: str) -> dict[str, Kind]:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self.request("GET", root, verb="look into", what=api_version)
        except ApiError as error:
            if error.status == 404:
                return {}
            raise
        return {
            item["kind"]: Kind(api_version, item["name"], item["namespaced"])
            for item in found["resources"]
            if "/" not in item["name"]
        }

    def preferred(self, group: str, kind: str) -> Kind:
        """The same for a group whose version nobody wrote down. Raises MissingKind."""
        if not group:
            return self.kind("v1", kind)
        try:
            found = self.request("GET", f"/apis/{group}", verb="look into", what=group)
        except ApiError as error:
            if error.status == 404:
                raise MissingKind(f"the cluster knows no {kind} ({group})") from None
            raise
        return self.kind(found["preferredVersion"]["groupVersion"], kind)

    def knows(self, group: str, kind: str) -> bool:
        """Whether there can be objects of that kind."""
        try:
            self.preferred(group, kind)
        except MissingKind:
            return False
        return True

    def read(self, wanted: Identity, api_version: str = "") -> Object | None:
        """The object as it is, or None."""
        try:
            kind = self.kind(api_version, wanted.kind) if api_version else self.preferred(wanted.group, wanted.kind)
            path = kind.address(wanted.namespace, wanted.name)
            found: Object = self.request("GET", path, verb="read", what=str(wanted))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> list[Object]:
        """All objects of a kind, in one namespace or in all, that have these labels and fields."""
        query = [("limit", "500")]
        query += [("labelSelector", labels)] if labels else []
        query += [("fieldSelector", fields)] if fields else []
        path, found, more = self.kind(api_version, kind).address(namespace), [], ""
        while True:
            page = self.request(
                "GET", path, query=[*query, *([("continue", more)] if more else [])], verb="list", what=f"{kind}s"
            )
            found += [{**item, "apiVersion": api_version, "kind": kind} for item in page["items"]]
            more = str(page.get("metadata", {}).get("continue") or "")
            if not more:
                return found

    def apply(self, item: Object, *, dry_run: bool = False, force: bool = False) -> Object:
        """Server-side apply as ours; with `dry_run` only what would come out. Raises ApiError, MissingKind."""
        name = identity(item)
        query = [("fieldManager", FIELD_MANAGER), ("force", "true" if force else "false")]
        query += [("dryRun", "All")] if dry_run else []
        path = self.kind(item["apiVersion"], name.kind).address(name.namespace, name.name)
        answer: Object = self.request(
            "PATCH", path, body=item, query=query, content_type=_APPLY, verb="apply", what=f"{name}"
        )
        return answer

    def merge(self, wanted: Identity, change: Mapping[str, Any]) -> None:
        """Change some fields of an object that is there, as ours. Raises ApiError."""
        path = self.preferred(wanted.group, wanted.kind).address(wanted.namespace, wanted.name)
        query = [("fieldManager", FIELD_MANAGER)]
        self.request(
            "PATCH", path, body=dict(change), query=query, content_type=_MERGE, verb="change", what=str(wanted)
        )

    def create(self, item: Object) -> Object:
        """Make one object. Raises ApiError."""
        name = identity(item)
        path = self.kind(item["apiVersion"], name.kind).address(name.namespace)
        found: Object = self.request(
            "POST", path, body=item, query=[("fieldManager", FIELD_MANAGER)], verb="create", what=str(name)
        )
        return found

    def delete(
        self, wanted: Identity, *, seconds: int | None = None, uid: str = "", waits_for_pods: bool = False
    ) -> bool:
        """Delete an object, with `uid` only that very one, and its pods, which it may wait for; gives whether it was there."""
        options: dict[str, Any] = {"propagationPolicy": "Foreground" if waits_for_pods else "Background"}
        if seconds is not None:
            options["gracePeriodSeconds"] = seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            path = self.preferred(wanted.group, wanted.kind).address(wanted.namespace, wanted.name)
            self.request("DELETE", path, body=options, verb="delete", what=str(wanted))
        except MissingKind:
            return False
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True


def _requests(api: Any) -> Any:
    """The library's own way to ask for any path, which is the same in all its versions."""
    from kubernetes.dynamic import DynamicClient

    # It discovers every kind ahead and keeps that in a file of /tmp that anybody may have put there.
    client = DynamicClient(api, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

    def request(method: str, path: str, **options: Any) -> Any:
        return client.request(method, path, serialize=False, **options)

    return request


class _Heard(logging.Handler):
    """What the library says while it logs in."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.errors.append(record.getMessage())
