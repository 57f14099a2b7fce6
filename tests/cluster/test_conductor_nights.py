"""The conductor of nights with the rights that it is rendered with, before real controllers. Its phases only report here."""

from __future__ import annotations

import base64
import io
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from access import Access
from cluster_site import Site
from reporting_nodes import FATE

from moorage.backups import cluster_interface, conductor
from moorage.backups.cluster_interface import ClusterInterface
from moorage.backups.conductor import Conductor
from moorage.backups.failures import BackupError, Busy
from moorage.backups.report import Report

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def site(cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("nights") / "site", cluster)
    found.good("up")
    yield found
    found.end()


@dataclass
class Night:
    """One night that was begun by hand, conducted by this process in the place of its pod."""

    site: Site
    folder: Path
    name: str
    account: str = "backup-conductor"
    said: io.StringIO = field(default_factory=io.StringIO)
    status: int | None = None
    thread: threading.Thread | None = None

    def make(self, **spec: Any) -> Conductor:
        """`spec` changes that of the Jobs."""
        self.site.kubectl("create", "job", "--from=cronjob/backup", self.name)
        until(lambda: bool(self._pods()))
        pod = self._pods()[0]["metadata"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        made = Conductor(self._interface(), self._templates(spec), owner, self.name)
        made.report = Report(errors=self.said)
        return made

    def begin(self, fate: str = "", **spec: Any) -> Conductor:
        """Let it run in the background; `fate` is that of its first phase."""
        made = self.make(**spec)
        if fate:
            self._give_fate(made.templates, fate)

        def conduct() -> None:
            self.status = made.night()

        self.thread = threading.Thread(target=conduct, daemon=True)
        self.thread.start()
        return made

    def end(self) -> int:
        assert self.thread is not None
        self.thread.join(90)
        assert self.status is not None, self.said.getvalue()
        return self.status

    def phases(self) -> list[str]:
        """The Jobs that it made, in their order."""
        items = json.loads(self.site.kubectl("get", "jobs", "-o", "json"))["items"]
        uid = self._pods()[0]["metadata"]["uid"].partition("-")[0]
        names = [item["metadata"]["name"] for item in items if item["metadata"]["name"].endswith(uid)]
        return sorted(names, key=lambda name: ("take" in name, "drill" in name), reverse=True)

    def _pods(self) -> list[dict[str, Any]]:
        found = self.site.kubectl("get", "pods", "-l", f"job-name={self.name}", "-o", "json")
        return list(json.loads(found)["items"])

    def _interface(self) -> ClusterInterface:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "token").write_text(self.site.kubectl("create", "token", self.account))
        known = yaml.safe_load(self.site.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        parts = urlsplit(known["server"])
        authority = base64.b64decode(known["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        assert parts.hostname and parts.port
        return ClusterInterface(parts.hostname, parts.port, self.site.name, self.folder, context)

    def _templates(self, spec: dict[str, Any]) -> Path:
        templates = self.folder / "templates"
        templates.mkdir(exist_ok=True)
        data = json.loads(self.site.kubectl("get", "configmap", "backup-jobs", "-o", "json"))["data"]
        for name, text in data.items():
            template = json.loads(text)
            template["spec"] |= spec
            (templates / name).write_text(json.dumps(template))
        return templates

    @staticmethod
    def _give_fate(templates: Path, fate: str) -> None:
        for name in ("backup.json", "backup-drill.json"):
            template = json.loads((templates / name).read_text())
            template["spec"]["template"]["metadata"]["annotations"] = {FATE: fate}
            (templates / name).write_text(json.dumps(template))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture
def night(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Night]:
    # A node that only reports has no logs, which is asked for in vain.
    monkeypatch.setattr(cluster_interface, "_TRY_SECONDS", 0.02)
    monkeypatch.setattr(conductor, "_LOOK_SECONDS", 0.2)
    found = Night(site, tmp_path / "account", f"night-{secrets.token_hex(3)}")
    yield found
    site.kubectl("delete", "jobs", "--all")


def test_its_rights_are_enough_and_what_it_began_goes_with_it(night: Night) -> None:
    made = night.make()
    assert made.night() == 0, night.said.getvalue()
    phases = night.phases()
    assert [name.split("-")[-2] for name in phases] == ["take", "drill", "conclude"]
    status = night.folder / "status.json"
    status.write_text("{}")
    made.publish(status)
    made.publish(status)
    night.site.kubectl("delete", "job", night.name)
    until(lambda: not [name for name in phases if name in night.site.kubectl("get", "jobs", "-o", "name")])


def test_another_account_may_not_begin_a_phase(night: Night) -> None:
    night.account = "web"
    made = night.make()
    with pytest.raises(cluster_interface.ClusterRefused, match="403"):
        made.night()
    assert night.phases() == []


def test_a_phase_that_fails_is_not_drilled(night: Night) -> None:
    night.begin("failed")
    assert night.end() == 1
    assert [name.split("-")[-2] for name in night.phases()] == ["take", "conclude"]


def first_pod(night: Night) -> str:
    """The pod of the first phase, when it runs."""
    found: list[str] = []

    def is_there() -> bool:
        items = json.loads(night.site.kubectl("get", "pods", "-l", "moorage/phase=backup", "-o", "json"))["items"]
        found[:] = [item["metadata"]["name"] for item in items if item["status"]["phase"] == "Running"]
        return bool(found)

    until(is_there)
    return found[0]


def stop_the_rest(made: Conductor) -> None:
    """What is concluded has the fate of the first phase here, and would go on for ever."""
    for name in ("backup.json", "backup-drill.json"):
        template = json.loads((made.templates / name).read_text())
        template["spec"]["template"]["metadata"].pop("annotations", None)
        (made.templates / name).write_text(json.dumps(template))


def test_an_eviction_is_told_by_its_name(night: Night) -> None:
    made = night.begin("unready")
    pod = first_pod(night)
    stop_the_rest(made)
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    night.site.kubectl(
        "patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )
    assert night.end() == BackupError.exit_status
    assert "take did not come to its own end: Evicted: The node was low on resource" in night.said.getvalue()


def test_a_phase_that_somebody_deletes_ends_the_night(night: Night) -> None:
    made = night.begin("unready")
    first_pod(night)
    stop_the_rest(made)
    night.site.kubectl("delete", "job", night.phases()[0])
    assert night.end() == BackupError.exit_status
    assert "take did not come to its own end: somebody deleted it" in night.said.getvalue()


def test_a_phase_that_takes_too_long_ends_the_night(night: Night) -> None:
    made = night.begin("unready", activeDeadlineSeconds=4)
    first_pod(night)
    stop_the_rest(made)
    assert night.end() == BackupError.exit_status
    assert "active longer than specified deadline" in night.said.getvalue()


def test_one_that_is_stopped_ends_what_it_began_before_it_concludes(night: Night) -> None:
    made = night.begin("unready")
    pod = first_pod(night)
    stop_the_rest(made)
    made.is_stopped = True
    assert night.end() == 143
    assert [name.split("-")[-2] for name in night.phases()] == ["conclude"]
    assert pod not in night.site.kubectl("get", "pods", "-o", "name")


def test_while_one_is_at_work_the_next_gives_way_until_that_is_gone(night: Night, tmp_path: Path) -> None:
    """Also when its conductor was killed: what it began goes with its pod."""
    night.begin("unready")
    first_pod(night)
    second = Night(night.site, tmp_path / "second", f"{night.name}-b")
    assert second.make().night() == Busy.exit_status
    assert "another backup job is running" in second.said.getvalue()
    night.site.kubectl("delete", "job", night.name)
    until(lambda: "Running" not in night.site.kubectl("get", "pods", "-l", "moorage/phase=backup"))
    third = Night(night.site, tmp_path / "third", f"{night.name}-c")
    assert third.make().night() == 0, third.said.getvalue()
