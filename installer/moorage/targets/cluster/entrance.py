"""The doors of a deployment's cluster for visitors, and the site as it answers there: before any name leads to it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, Object, at
from moorage.targets.cluster.pods import is_ready
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE, LABEL_NAME
from moorage.targets.routers import ROUTED_HEADER

_PROXY = "traefik"
_CONNECT_SECONDS = 3.0
_LIMIT_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_NOT_THERE = (0, 502, 503, 504)


@dataclass(frozen=True)
class Entrance:
    """An address at which the proxy takes requests: of its load balancer, or a port of the node that it runs on."""

    host: str
    port: int
    is_node: bool

    def __str__(self) -> str:
        """As a browser has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """HTTP's status, 0 when nothing answered; whether a service of ours did, and not the proxy for lack of one."""

    status: int
    is_routed: bool = False

    @property
    def is_good(self) -> bool:
        """Whether the site serves."""
        return self.status not in _NOT_THERE and self.status < 500 and self.is_routed


def entrances(cluster: Cluster, facts: ClusterFacts) -> list[Entrance]:
    """Those of load balancers; where there are none, the ports of nodes. Raises MoorageError."""
    if facts.ingress == "nginx":
        items = cluster.list("networking.k8s.io/v1", "Ingress", facts.namespace, f"{LABEL_INSTANCE}={facts.project}")
        found = [entrance for item in items for entrance in _balanced(item, _port(facts))]
        return list(dict.fromkeys(found))
    service = cluster.read(Identity("", "Service", facts.namespace, _PROXY), "v1")
    if service is None:
        return []
    return list(dict.fromkeys(_balanced(service, _port(facts)))) or list(_of_nodes(cluster, facts, service))


def _port(facts: ClusterFacts) -> int:
    return 443 if _is_encrypted(facts) else 80


def _is_encrypted(facts: ClusterFacts) -> bool:
    return facts.tls_mode not in ("off", "behind-proxy")


def _balanced(item: Object, port: int) -> Iterator[Entrance]:
    for each in at(item, "status", "loadBalancer", "ingress") or ():
        host = each.get("hostname") or each.get("ip")
        if host:
            yield Entrance(str(host), port, is_node=False)


def _of_nodes(cluster: Cluster, facts: ClusterFacts, service: Object) -> Iterator[Entrance]:
    """Only the nodes that a ready proxy runs on: others pass nothing on, so that visitors keep their addresses."""
    ports = [
        int(each["nodePort"])
        for each in service["spec"]["ports"]
        if each["port"] == _port(facts) and "nodePort" in each
    ]
    labels = f"{LABEL_INSTANCE}={facts.project},{LABEL_NAME}={_PROXY}"
    pods = [pod for pod in cluster.list("v1", "Pod", facts.namespace, labels) if is_ready(pod)]
    for host in sorted({str(at(pod, "status", "hostIP")) for pod in pods if at(pod, "status", "hostIP")}):
        for port in ports:
            yield Entrance(host, port, is_node=True)


def ask(entrance: Entrance, facts: ClusterFacts) -> Answer:
    """One GET of the site at this door, by its public name. Certificates are not judged here."""
    try:
        connection = _Door(entrance, facts)
        try:
            # The proxy in front of the cluster would say so.
            more = {"X-Forwarded-Proto": "https"} if facts.tls_mode == "behind-proxy" else {}
            headers = {"Host": facts.domain, "User-Agent": "moorage", **more}
            connection.request("GET", facts.check_path, headers=headers)
            answer = connection.getresponse()
            # Every route of ours adds headers, and the proxy's own answer has none of them.
            is_routed = facts.ingress == "nginx" or answer.getheader(ROUTED_HEADER) is not None or answer.status != 404
            return Answer(answer.status, is_routed)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return Answer(0)


class _Door(http.client.HTTPConnection):
    """A connection to an address; where the site is encrypted, with its name in the handshake."""

    def __init__(self, entrance: Entrance, facts: ClusterFacts) -> None:
        super().__init__(entrance.host, entrance.port, timeout=_CONNECT_SECONDS)
        self._name = facts.domain if _is_encrypted(facts) else ""

    def connect(self) -> None:
        """Connect by address, present the name."""
        self.sock = socket.create_connection((self.host, self.port), _CONNECT_SECONDS)
        if self._name:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock, server_hostname=self._name)


def trouble(cluster: Cluster, facts: ClusterFacts) -> str:
    """What a single look finds wrong; empty when the site serves, and when nobody can look from here."""
    for entrance in entrances(cluster, facts):
        answer = ask(entrance, facts)
        if answer.status:
            return "" if answer.is_good else f"{facts.domain}{facts.check_path} answers {answer.status} at {entrance}"
    return ""


def look_from_outside(
    cluster: Cluster,
    facts: ClusterFacts,
    console: Console,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """See the site answer at the first door that can be reached from here; say so when none can.

    Raises DeployError when the proxy answers, and the site does not.
    """
    doors = entrances(cluster, facts)
    reached = next((each for each in doors if ask(each, facts).status), None)
    if reached is None:
        _tell_unreached(facts, doors, console)
        return
    end = clock() + _LIMIT_SECONDS
    with console.waiting(f"{facts.domain}{facts.check_path} answers at {reached}", _LIMIT_SECONDS):
        answer = ask(reached, facts)
        while not answer.is_good and clock() < end:
            pause(_LOOK_SECONDS)
            answer = ask(reached, facts)
    if not answer.is_good:
        shown = f"status {answer.status}" if answer.status else "it was silent at last"
        raise DeployError(
            f"{facts.domain}{facts.check_path} does not answer at {reached}: {shown}",
            f"`moorage logs {_PROXY} -e {facts.environment}` has the proxy's reason",
        )
    console.success(f"{facts.domain}{facts.check_path} answers {answer.status} at {reached}")


def _tell_unreached(facts: ClusterFacts, doors: list[Entrance], console: Console) -> None:
    where = ", ".join(str(each) for each in doors)
    console.warning(
        f"nobody asked the site itself: {where} can't be reached from here"
        if doors
        else "nobody asked the site itself: its load balancer has no address yet"
    )
    console.detail(f"→ {way_in(facts)}")


def way_in(facts: ClusterFacts) -> str:
    """How a browser of this machine gets there."""
    if facts.minikube is not None:
        return f"`minikube tunnel -p {facts.minikube.profile}` opens {urlsplit(facts.base_url).netloc} on this machine"
    return f"`moorage status -e {facts.environment}` shows its address as soon as it has one, and whether it answers"
