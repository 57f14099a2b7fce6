"""The rig's real node runs what a node runs: containers, probes, volumes, names, services."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

import objects
import pytest
from access import Access

pytestmark = pytest.mark.cluster


def _answer(address: str) -> str:
    """Return what is answered under an address, which is known to the node a moment after the API knows it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_probed_server_is_reached_by_the_name_of_its_service(node_cluster: Access, node_namespace: str) -> None:
    node_cluster.apply(node_namespace, *objects.server("web"))
    node_cluster.wait(node_namespace, "condition=Available", "deployment/web")
    address = node_cluster.kubectl("get", "pods", "-n", node_namespace, "-o", "jsonpath={.items[0].status.podIP}")
    node_cluster.apply(
        node_namespace, objects.job("caller", f"wget -qO- http://web.{node_namespace}.svc.cluster.local")
    )
    node_cluster.wait(node_namespace, "condition=Complete", "job/caller")
    assert node_cluster.kubectl("logs", "-n", node_namespace, "job/caller").strip() == address


def test_a_server_that_fails_its_probe_gets_no_callers(node_cluster: Access, node_namespace: str) -> None:
    deployment, service = objects.server("web")
    node_cluster.apply(node_namespace, deployment, service)
    node_cluster.wait(node_namespace, "condition=Available", "deployment/web")
    node_cluster.kubectl("exec", "-n", node_namespace, "deployment/web", "--", "rm", "/tmp/www/index.html")
    node_cluster.wait(node_namespace, "condition=Available=False", "deployment/web")
    ready = "jsonpath={.items[0].endpoints[0].conditions.ready}"
    assert node_cluster.kubectl("get", "endpointslices", "-n", node_namespace, "-o", ready) == "false"


def test_a_port_of_the_node_leads_to_a_service(node_cluster: Access, node_namespace: str) -> None:
    if node_cluster.is_foreign:
        pytest.skip("whether the ports of a foreign node are reached is its own matter")
    deployment, service = objects.server("web")
    service["spec"]["type"] = "NodePort"
    node_cluster.apply(node_namespace, deployment, service)
    node_cluster.wait(node_namespace, "condition=Available", "deployment/web")
    port = node_cluster.kubectl("get", "service/web", "-n", node_namespace, "-o", "jsonpath={.spec.ports[0].nodePort}")
    node = node_cluster.kubectl(
        "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    )
    assert _answer(f"http://{node}:{port}").startswith("10.")


def test_the_api_server_reaches_pods_as_it_does_for_webhooks(node_cluster: Access, node_namespace: str) -> None:
    node_cluster.apply(node_namespace, *objects.server("web"))
    node_cluster.wait(node_namespace, "condition=Available", "deployment/web")
    node_cluster.wait(node_namespace, "jsonpath={.endpoints[0].conditions.ready}=true", "endpointslices", "--all")
    path = f"/api/v1/namespaces/{node_namespace}/services/web:80/proxy/"
    assert node_cluster.kubectl("get", "--raw", path).strip()


def test_a_container_is_restarted_and_its_words_are_kept(node_cluster: Access, node_namespace: str) -> None:
    command = "[ -e /state/seen ] && exec sleep 3600; touch /state/seen; echo good night; exit 3"
    moody = objects.pod("moody", command=command, volumes=[{"name": "state", "emptyDir": {}}])
    moody["spec"]["containers"][0]["volumeMounts"] = [{"name": "state", "mountPath": "/state"}]
    node_cluster.apply(node_namespace, moody)
    node_cluster.wait(
        node_namespace, "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}=3", "pod/moody"
    )
    node_cluster.wait(node_namespace, "condition=Ready", "pod/moody")
    assert node_cluster.kubectl("logs", "-n", node_namespace, "moody", "--previous") == "good night\n"


def test_a_command_runs_inside_a_pod_with_its_confinement(node_cluster: Access, node_namespace: str) -> None:
    node_cluster.apply(node_namespace, objects.pod("quiet"))
    node_cluster.wait(node_namespace, "condition=Ready", "pod/quiet")
    inside = ("exec", "-n", node_namespace, "quiet", "--")
    assert node_cluster.kubectl(*inside, "id", "-u") == "65532\n"
    status = node_cluster.kubectl(*inside, "cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (facts["CapBnd"].strip("0"), facts["NoNewPrivs"], facts["Seccomp"]) == ("", "1", "2")


def test_a_memory_limit_is_kept(node_cluster: Access, node_namespace: str) -> None:
    greedy = objects.pod("greedy", restartPolicy="Never")
    greedy["spec"]["containers"][0]["command"] = ["awk", 'BEGIN { text = "x"; while (1) text = text text }']
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    node_cluster.apply(node_namespace, greedy)
    # The reason, OOMKilled or Error, depends on whether containerd hears of it before the container is gone.
    exit_code = "{.status.containerStatuses[0].state.terminated.exitCode}"
    node_cluster.wait(node_namespace, f"jsonpath={exit_code}=137", "pod/greedy")


def test_what_a_pod_wrote_to_its_claim_outlives_it(node_cluster: Access, node_namespace: str) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}

    def run(name: str, command: str) -> None:
        pod = objects.pod(name, command=command, volumes=[volume], restartPolicy="Never")
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        node_cluster.apply(node_namespace, pod)
        node_cluster.wait(node_namespace, "jsonpath={.status.phase}=Succeeded", f"pod/{name}")

    node_cluster.apply(node_namespace, objects.claim("data"))
    run("writer", "echo kept > /data/file")
    node_cluster.kubectl("delete", "pod", "-n", node_namespace, "writer")
    run("reader", "cat /data/file")
    assert node_cluster.kubectl("logs", "-n", node_namespace, "reader") == "kept\n"


def test_the_folder_of_a_volume_goes_with_its_claim(node_cluster: Access, node_namespace: str) -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    node_cluster.apply(node_namespace, objects.claim("data"), objects.pod("user", volumes=[volume]))
    node_cluster.wait(node_namespace, "condition=Ready", "pod/user")
    name = node_cluster.kubectl("get", "pvc", "-n", node_namespace, "data", "-o", "jsonpath={.spec.volumeName}")
    node_cluster.kubectl("delete", "pod/user", "pvc/data", "-n", node_namespace)
    node_cluster.kubectl("wait", "--for=delete", f"pv/{name}", "--timeout=120s")


def test_a_job_that_fails_is_told_apart(node_cluster: Access, node_namespace: str) -> None:
    node_cluster.apply(node_namespace, objects.job("failing", "exit 7"), objects.job("fine"))
    node_cluster.wait(node_namespace, "condition=Failed", "job/failing")
    node_cluster.wait(node_namespace, "condition=Complete", "job/fine")
