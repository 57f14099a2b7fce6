"""A difference needs a reason that holds for its values."""

from __future__ import annotations

from moorage.parity.compare import compare
from moorage.parity.facts import Facts
from moorage.parity.reasons import Allowed, only_left, values


def environments(left: str, right: str) -> list[Facts]:
    here, there = Facts("compose", "compose"), Facts("minikube", "minikube")
    here.note("service web", "image", "web")
    there.note("service web", "image", "web")
    here.note("service web", "user", left)
    there.note("service web", "user", right)
    return [here, there]


REASON = Allowed("service *", "user", "A pod names a user.", values("", "999"))


def test_a_reason_explains_its_values_from_either_side() -> None:
    (row,) = compare(environments("", "999"), [REASON]).of("own")
    assert row.reasons == ("A pod names a user.",)
    assert not compare(list(reversed(environments("", "999"))), [REASON]).differences


def test_a_reason_explains_no_other_values() -> None:
    (row,) = compare(environments("", "1000"), [REASON]).differences
    assert (row.key.subject, row.key.field, row.values) == ("service web", "user", ("", "1000"))
    assert row.unexplained == (("compose", "minikube"),)
    assert compare(environments("999", ""), [REASON]).differences


def test_what_must_be_there_is_missed() -> None:
    must = Allowed("service *", "user", "Docker needs a user.", only_left("1000"), needed=("user",))
    assert not compare(environments("1000", ""), [must]).differences
    (row,) = compare(environments("", ""), [must]).differences
    assert row.unexplained == (("compose", "compose must have it"),)


def test_the_apps_file_excuses_what_it_declares_and_nothing_else() -> None:
    def declaring(value: str, actual: str, environment: str) -> Facts:
        facts = Facts(
            environment,
            environment,
            reasons={"web": "because"},
            declared={"web": {"environment.MODE": value}},
        )
        facts.note("service web", "image", "web")
        facts.note("service web", "environment.MODE", actual)
        return facts

    right = [declaring("docker", "docker", "compose"), declaring("pods", "pods", "minikube")]
    wrong = [declaring("docker", "docker", "compose"), declaring("pods", "podsx", "minikube")]
    assert not compare(right, []).differences
    assert compare(wrong, []).differences


def test_moorage_yaml_excuses_what_its_key_changes() -> None:
    here, there = environments("", "")
    here.note("service web", "replicas", "1")
    there.note("service web", "replicas", "3")
    assert compare([here, there], []).differences
    there.settings = {"resources.services.web.replicas": "3"}
    (row,) = compare([here, there], []).of("allowed")
    assert row.reasons == ("by moorage.yaml: environments.minikube.resources.services.web.replicas",)
    there.note("service web", "image", "another")
    assert compare([here, there], []).differences


def test_what_only_clusters_have_is_counted_apart() -> None:
    def environment(target: str, value: str) -> Facts:
        facts = Facts(target, target)
        facts.note("object Quota acme", "spec.pods", value)
        return facts

    reason = Allowed("object *", "*", "A server has no quota.", lambda _: True, ("any", "any"))
    server, small, large = environment("compose", ""), environment("minikube", "9"), environment("eks", "9")
    assert [row.verdict for row in compare([server, small, large], [reason]).rows] == ["own"]
    assert [row.verdict for row in compare([server, small, environment("eks", "8")], [reason]).rows] == ["allowed"]
    assert [row.verdict for row in compare([server, small, environment("eks", "")], [reason]).rows] == ["allowed"]
