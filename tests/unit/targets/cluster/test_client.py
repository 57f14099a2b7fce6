from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster, MissingKind
from moorage.targets.cluster.failures import ApiError, Unreachable
from moorage.targets.cluster.kubeconfig import chosen_context
from tests.unit.targets.cluster.fake_api import FakeApi, serve

CORE = "GET /api/v1"
CONFIG_MAPS = {"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}
APPLY = "PATCH /api/v1/namespaces/n/configmaps/x"
ITEM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n"}, "data": {"a": "1"}}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi({CORE: [(200, CONFIG_MAPS)]})
    server = serve(fake)
    yield fake
    server.shutdown()


@pytest.fixture
def cluster(api: FakeApi, tmp_path: Path) -> Cluster:
    path = api.kubeconfig(tmp_path)
    return Cluster(chosen_context("test", path, "e"), path, pause=lambda _: None)


@pytest.mark.parametrize("status", [409, 429, 500, 503, 0])
def test_what_may_pass_is_tried_again(api: FakeApi, cluster: Cluster, status: int) -> None:
    api.answers[APPLY] = [(status, {"message": "busy"}), (status, {"message": "busy"}), (200, ITEM)]
    assert cluster.apply(ITEM)["data"] == {"a": "1"}
    assert api.asked.count(APPLY) >= 3


def test_a_conflict_of_managers_is_not_tried_again(api: FakeApi, cluster: Cluster) -> None:
    causes = [{"reason": "FieldManagerConflict", "field": ".data.a", "message": 'conflict with "kubectl"'}]
    api.answers[APPLY] = [(409, {"message": "conflict", "reason": "Conflict", "details": {"causes": causes}})]
    with pytest.raises(ApiError) as caught:
        cluster.apply(ITEM)
    assert caught.value.is_of_managers
    assert api.asked.count(APPLY) == 1


def test_a_new_quota_is_waited_for_but_a_refusal_is_not(api: FakeApi, cluster: Cluster) -> None:
    unknown = {"message": 'configmaps "x" is forbidden: status unknown for quota: q', "reason": "Forbidden"}
    api.answers[APPLY] = [(403, unknown), (200, ITEM)]
    cluster.apply(ITEM)
    api.answers[APPLY] = [(403, {"message": 'User "u" cannot patch resource "configmaps"', "reason": "Forbidden"})]
    api.asked.clear()
    with pytest.raises(ApiError, match=r'you may not apply ConfigMap x: User "u" cannot patch resource') as caught:
        cluster.apply(ITEM)
    assert "another context" in caught.value.hint
    assert api.asked.count(APPLY) == 1


def test_an_unknown_user_is_told_to_log_in(api: FakeApi, cluster: Cluster) -> None:
    api.answers["GET /version"] = [(401, {"message": "Unauthorized"})]
    with pytest.raises(ApiError, match="does not know who you are") as caught:
        cluster.version()
    assert "log in again" in caught.value.hint


def test_no_server_is_told_at_once(api: FakeApi, tmp_path: Path) -> None:
    api.port = 9  # nobody listens there
    path = api.kubeconfig(tmp_path, "dead")
    with pytest.raises(Unreachable, match=r"the cluster at http://127.0.0.1:9 does not answer: .*refused"):
        Cluster(chosen_context("dead", path, "e"), path).version()


def test_a_kind_that_the_cluster_does_not_know(cluster: Cluster) -> None:
    with pytest.raises(MissingKind, match=r"knows no Certificate \(cert-manager.io/v1\)"):
        cluster.kind("cert-manager.io/v1", "Certificate")


def test_a_plugin_that_is_missing_or_fails_is_named(api: FakeApi, tmp_path: Path) -> None:
    def plugin(command: str, *arguments: str) -> dict[str, object]:
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"apiVersion": version, "command": command, "args": list(arguments), "installHint": "get it"}}

    path = api.kubeconfig(tmp_path, "a", plugin("no-such-program"))
    with pytest.raises(MoorageError, match="`no-such-program`, which is not installed") as caught:
        Cluster(chosen_context("a", path, "e"), path)
    assert caught.value.hint == "get it"

    path = api.kubeconfig(tmp_path, "b", plugin(sys.executable, "-c", "import sys; sys.exit('log in first')"))
    with pytest.raises(MoorageError, match=r"logging in to b failed: .*log in first"):
        Cluster(chosen_context("b", path, "e"), path)


def test_a_plugin_logs_in(api: FakeApi, tmp_path: Path) -> None:
    answer = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "secret"}}'
    )
    version = "client.authentication.k8s.io/v1"
    user = {"exec": {"apiVersion": version, "command": sys.executable, "args": ["-c", f"print('{answer}')"]}}
    path = api.kubeconfig(tmp_path, "c", user)
    api.answers["GET /version"] = [(200, {"gitVersion": "v1.35.4"})]
    assert Cluster(chosen_context("c", path, "e"), path).version() == "v1.35.4"


def test_contexts_are_found_by_name_only(api: FakeApi, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path, "acme-beta")
    with pytest.raises(MoorageError, match="did you mean acme-beta"):
        chosen_context("acme-bета".replace("ета", "et"), path, "e")
    with pytest.raises(MoorageError, match="does not say which cluster it is for") as caught:
        chosen_context("", path, "beta")
    assert "environments.beta.kubernetes.context" in caught.value.hint
    with pytest.raises(MoorageError, match="which does not exist"):
        chosen_context("x", str(tmp_path / "none"), "e")
