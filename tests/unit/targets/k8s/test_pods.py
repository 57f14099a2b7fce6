"""Services as pods: what Compose says keeps its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.targets.k8s.command_words import words
from moorage.targets.k8s.mounts import key_of
from tests.unit.targets.k8s.given import ROUTED, manifests, names, one, pod, secret, variables


def expanded(text: str) -> str:
    """What Kubernetes makes of a word when no variable is known: `$$` is one sign, `$(NAME)` stays."""
    found, index = "", 0
    while index < len(text):
        if text[index] == "$" and text[index + 1 : index + 2] == "$":
            found, index = found + "$", index + 2
            continue
        assert not (text[index] == "$" and text[index + 1 : index + 2] == "("), "would be filled in"
        found, index = found + text[index], index + 1
    return found


@given(st.text(alphabet="$()aB \n'", max_size=20))
def test_a_word_of_a_command_reaches_the_program_as_it_is(text: str) -> None:
    assert expanded(words([text])[0]) == text


@given(st.lists(st.text(alphabet="a_.-/ü ", min_size=1, max_size=8), unique=True, max_size=6))
def test_every_file_has_a_key_of_its_own(paths: list[str]) -> None:
    keys = {key_of(path) for path in paths}
    assert len(keys) == len(paths)
    assert all(character.isascii() and (character.isalnum() or character in "-._") for key in keys for character in key)


def test_plain_names_stay_readable() -> None:
    assert [key_of(path) for path in ("pg_hba.conf", "a/b.conf", "")] == ["pg_hba.conf", "a_.b.conf", "file"]


def web(folder: Path, keys: dict[str, Any], **more: Any) -> dict[str, Any]:
    return pod(manifests(folder, {"web": {"image": "nginx:1.27", "x-moorage": ROUTED, **keys}}, **more))


def test_entrypoint_and_command_are_what_kubernetes_calls_command_and_args(tmp_path: Path) -> None:
    (container,) = web(tmp_path, {"entrypoint": ["/start.sh"], "command": ["a", "$$HOME"]})["containers"]
    assert (container["command"], container["args"]) == (["/start.sh"], ["a", "$HOME"])


def test_a_service_in_the_network_of_another_is_a_container_of_its_pod(tmp_path: Path) -> None:
    side = {"image": "envoy:1", "network_mode": "service:web", "expose": ["9000"]}
    rendered = manifests(tmp_path, {"side": side})
    assert [item["name"] for item in pod(rendered)["containers"]] == ["web", "side"]
    assert names(rendered, "Deployment") == ["web"]
    # Others reach it by both names.
    assert {"side", "web"} <= set(names(rendered, "Service"))


def test_a_service_that_ends_is_a_job(tmp_path: Path) -> None:
    rendered = manifests(tmp_path, {"setup": {"image": "busybox:1", "restart": "no", "command": ["true"]}})
    (name,) = names(rendered, "Job")
    assert name.startswith("setup-")
    assert names(rendered, "Deployment") == ["web"]
    assert "setup" not in names(rendered, "Service")


def test_dockers_socket_is_not_on_a_node(tmp_path: Path) -> None:
    keys = {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]}
    settings = "permissions: {docker_access: [web], host_paths: [/var/run/docker.sock]}\n"
    spec = web(tmp_path, keys, settings=settings)
    assert "volumes" not in spec
    assert "volumeMounts" not in spec["containers"][0]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"hostname": "h"}, {"hostname": "h"}),
        ({"init": True}, {"shareProcessNamespace": True}),
        ({"platform": "linux/arm64"}, {"nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}),
        ({"dns": ["1.1.1.1"], "dns_search": "a.b"}, {"dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b"]}}),
        ({"dns_opt": ["ndots:2", "use-vc"]}, {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}, {"name": "use-vc"}]}}),
        ({"stop_grace_period": "90s"}, {"terminationGracePeriodSeconds": 98}),
        ({"extra_hosts": ["a:1.2.3.4", "b=::1"]}, {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}, {"ip": "::1", "hostnames": ["b"]}]}),
        ({"extra_hosts": {"a": "1.2.3.4", "b": "host-gateway"}}, {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}]}),
    ],
)  # fmt: skip
def test_settings_of_a_container_are_settings_of_its_pod(
    keys: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    spec = web(tmp_path, keys)
    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("1000:1001", {"runAsUser": 1000, "runAsGroup": 1001, "runAsNonRoot": True}),
        ("0", {"runAsUser": 0, "runAsNonRoot": False}),
        ("app", {}),
    ],
)
def test_who_a_container_runs_as(user: str, expected: dict[str, Any], tmp_path: Path) -> None:
    context = web(tmp_path, {"user": user})["containers"][0]["securityContext"]
    assert {key: value for key, value in context.items() if key.startswith("runAs")} == expected


def test_values_of_variables_are_kept_to_the_last_sign(tmp_path: Path) -> None:
    values = {"A": " x # y ", "B": "\"q'", "C": "$HOME \\n", "D": "", "E": "a=b"}
    rendered = manifests(tmp_path, {"web": {"image": "nginx:1.27", "x-moorage": ROUTED, "environment": {key: value.replace("$", "$$") for key, value in values.items()}}})  # fmt: skip
    assert variables(rendered, "web-config") == values


def test_a_value_of_several_lines_has_a_file_of_its_own(tmp_path: Path) -> None:
    rendered = manifests(tmp_path, {"web": {"image": "nginx:1.27", "x-moorage": ROUTED, "environment": {"A": "1\n2\n", "B": "x"}}})  # fmt: skip
    assert variables(rendered, "web-config") == {"B": "x"}
    assert rendered.public.files["k8s/base/config/web-config/A"].content == b"1\n2\n"


def test_a_secret_is_in_the_secret_and_its_change_rolls_the_pods(tmp_path: Path) -> None:
    service = {"image": "nginx:1.27", "x-moorage": ROUTED, "environment": {"TOKEN": "${TOKEN}"}}
    more: dict[str, Any] = {"settings": "secrets: [TOKEN]\n"}
    first = manifests(tmp_path / "1", {"web": service}, files={"secrets/minikube/values/TOKEN": "one\n"}, **more)
    second = manifests(tmp_path / "2", {"web": service}, files={"secrets/minikube/values/TOKEN": "two\n"}, **more)
    assert secret(first, "web-secrets") == {"TOKEN": "one"}
    digests = [
        one(rendered, "Deployment", "web")["spec"]["template"]["metadata"]["annotations"]["moorage/secrets"]
        for rendered in (first, second)
    ]
    assert digests[0] != digests[1]
    assert all(b"one" not in file.content for path, file in first.public.files.items() if "web" in path)
