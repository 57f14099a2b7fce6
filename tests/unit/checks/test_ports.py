"""Ports: who holds them, and what to do about it."""

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.checks import containers, ports, sockets
from moorage.checks.asking import Answer
from moorage.checks.base import PublicationNeed
from moorage.checks.containers import Published, RunningContainer
from moorage.checks.sockets import Listener
from tests.unit.checks.samples import ScriptedEngine, lines, needs

FACTS = ports.PortFacts(
    listeners=(),
    containers=(),
    addresses=("127.0.0.1", "203.0.113.7", "::1"),
    is_root=True,
    is_rootless_engine=False,
    unprivileged_from=1024,
)
NGINX = Listener(80, "tcp", "0.0.0.0", "root", 812, "nginx", "nginx")
PROXY_HINT = "if it is a proxy that is to stay in front: `tls.mode: behind-proxy` and another `edge.http_port`"
HTTPS_OK = ("ok", "443 (HTTPS) is free", "")


def container(name: str, project: str, *published: Published, identity: str = "c" * 64) -> RunningContainer:
    return RunningContainer(identity, name, project, published)


def first(facts: dict[str, Any], stack: dict[str, Any]) -> tuple[str, str, str]:
    return lines(ports.judge(replace(FACTS, **facts), needs(**stack)))[0]


def test_free_ports_are_named() -> None:
    assert lines(ports.judge(FACTS, needs())) == [("ok", "80 (HTTP) is free", ""), HTTPS_OK]


@pytest.mark.parametrize(
    ("listener", "stack", "expected"),
    [
        (
            NGINX,
            {},
            (
                "failure",
                "80 (HTTP) is held by nginx (pid 812)",
                "`systemctl stop nginx` (and `systemctl disable nginx`, or it is back after a reboot), or "
                + PROXY_HINT,
            ),
        ),
        (
            NGINX,
            {"tls_mode": "off"},
            (
                "failure",
                "80 (HTTP) is held by nginx (pid 812)",
                "`systemctl stop nginx` (and `systemctl disable nginx`, or it is back after a reboot), or set another "
                "`edge.http_port`",
            ),
        ),
        (
            replace(NGINX, unit="", name="python3", pid=4711),
            {"acme_challenge": "cloudflare-dns"},
            (
                "failure",
                "80 (HTTP) is held by python3 (pid 4711)",
                "`kill 4711`, or set another `edge.http_port`",
            ),
        ),
        (
            replace(NGINX, unit="caddy", name="caddy", is_user_unit=True),
            {"tls_mode": "internal-ca"},
            (
                "failure",
                "80 (HTTP) is held by caddy (pid 812)",
                "`systemctl --user stop caddy` (and `systemctl --user disable caddy`, or it is back after a reboot), "
                "or set another `edge.http_port`",
            ),
        ),
        (
            replace(NGINX, pid=1, name="systemd", unit=""),
            {"tls_mode": "off"},
            (
                "failure",
                "80 (HTTP) is held by systemd (pid 1)",
                "`systemctl list-sockets` names the socket unit that systemd holds it for: `systemctl disable --now` "
                "it, or set another `edge.http_port`",
            ),
        ),
        (
            Listener(80, "tcp", "0.0.0.0", "www-data"),
            {"tls_mode": "off"},
            (
                "failure",
                "80 (HTTP) is held by a process of the user www-data that cannot be seen from here",
                "is it in another container?; stop it, or set another `edge.http_port`",
            ),
        ),
        (
            Listener(80, "tcp", "0.0.0.0", "root", 900, "docker-proxy"),
            {"tls_mode": "off"},
            (
                "warning",
                "80 (HTTP) is held by a container that Docker does not name (docker-proxy, pid 900)",
                "`docker ps --filter publish=80` names it; set another `edge.http_port`",
            ),
        ),
    ],
)
def test_a_process_holds_the_port(listener: Listener, stack: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert first({"listeners": (listener,)}, stack) == expected


def test_an_ordinary_user_is_told_how_to_see_more() -> None:
    hidden = Listener(80, "tcp", "0.0.0.0", "root")
    assert first({"listeners": (hidden,), "is_root": False}, {"tls_mode": "off"})[2] == (
        "`sudo ss -lnp 'sport = :80'` names it; stop it, or set another `edge.http_port`"
    )


DOCKER_PROXY = Listener(80, "tcp", "0.0.0.0", "root", 900, "docker-proxy", "docker")


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (
            container("acme-traefik-1", "acme", Published("0.0.0.0", 80, 80, "tcp")),
            ("ok", "80 (HTTP) is held by this stack's own acme-traefik-1", ""),
        ),
        (
            container("acme-staging-traefik-1", "acme-staging", Published("0.0.0.0", 80, 80, "tcp")),
            (
                "failure",
                "80 (HTTP) is held by the container acme-staging-traefik-1 of the project acme-staging",
                "`docker stop acme-staging-traefik-1`, or set another `edge.http_port`",
            ),
        ),
        (
            container("web", "", Published("127.0.0.1", 79, 81, "tcp")),
            (
                "failure",
                "80 (HTTP) is held by the container web",
                "`docker stop web`, or set another `edge.http_port`",
            ),
        ),
    ],
)
@pytest.mark.parametrize("has_proxy", [True, False])
def test_a_container_holds_the_port(holder: RunningContainer, expected: tuple[str, str, str], has_proxy: bool) -> None:
    listeners = (DOCKER_PROXY,) if has_proxy else ()
    assert first({"listeners": listeners, "containers": (holder,)}, {"tls_mode": "off"}) == expected


@pytest.mark.parametrize(
    "published",
    [Published("0.0.0.0", 80, 80, "udp"), Published("::", 80, 80, "tcp"), Published("0.0.0.0", 81, 90, "tcp")],
)
def test_a_container_elsewhere_is_not_in_the_way(published: Published) -> None:
    assert first({"containers": (container("web", "", published),)}, {}) == ("ok", "80 (HTTP) is free", "")


def test_a_process_is_not_taken_for_any_container() -> None:
    in_one = replace(NGINX, unit="", container_id="e" * 64)
    others = (container("web", ""), container("db", ""))
    assert first({"listeners": (in_one,), "containers": others}, {})[1] == "80 (HTTP) is held by nginx (pid 812)"
    assert first({"listeners": (NGINX,), "containers": others}, {})[1] == "80 (HTTP) is held by nginx (pid 812)"


def test_a_process_of_a_container_on_the_hosts_network_is_that_container() -> None:
    caddy = replace(NGINX, name="caddy", unit="", container_id="d" * 64)
    holder = container("caddy", "", identity="d" * 64)
    assert first({"listeners": (caddy,), "containers": (holder,)}, {})[1] == "80 (HTTP) is held by the container caddy"


@pytest.mark.parametrize(
    ("own", "other", "only_ipv6", "expected"),
    [
        ("0.0.0.0", "0.0.0.0", False, True),
        ("0.0.0.0", "127.0.0.1", False, True),
        ("0.0.0.0", "::", False, True),
        ("0.0.0.0", "::", True, False),
        ("0.0.0.0", "::1", False, False),
        ("127.0.0.1", "0.0.0.0", False, True),
        ("127.0.0.1", "127.0.0.1", False, True),
        ("127.0.0.1", "203.0.113.7", False, False),
        ("127.0.0.1", "::", False, True),
        ("::", "::1", False, True),
        ("::", "0.0.0.0", False, False),
        ("2001:db8::1", "::", True, True),
        ("2001:db8::1", "2001:db8::2", False, False),
    ],
)
def test_overlap(own: str, other: str, only_ipv6: bool, expected: bool) -> None:
    assert ports.overlap(own, other, only_ipv6=only_ipv6) is expected


def test_another_address_or_protocol_is_not_in_the_way() -> None:
    elsewhere = replace(NGINX, address="203.0.113.8")
    udp = replace(NGINX, protocol="udp")
    assert first({"listeners": (elsewhere, udp)}, {"address": "203.0.113.7"}) == ("ok", "80 (HTTP) is free", "")


def test_an_address_that_the_host_lacks() -> None:
    found = ports.judge(FACTS, needs(address="203.0.113.9"))[0]
    assert (found.level, found.text, found.fix, found.key) == (
        "failure",
        "this host does not have the address 203.0.113.9, so nothing can listen on it",
        "set `edge.address: 0.0.0.0`, or one of this host's: 203.0.113.7",
        ("edge", "address"),
    )


def test_publications_have_their_own_address_protocol_and_key() -> None:
    stack = needs(publications=(PublicationNeed("gitea", 2222, "127.0.0.1", "tcp", ("publish", 0)),))
    sshd = Listener(2222, "tcp", "127.0.0.1", "root", 77, "sshd", "ssh")
    found = ports.judge(replace(FACTS, listeners=(sshd,)), stack)[-1]
    assert (found.text, found.fix, found.key) == (
        "2222 (gitea) is held by sshd (pid 77)",
        "`systemctl stop ssh` (and `systemctl disable ssh`, or it is back after a reboot), or set another "
        "`publish[0].port`",
        ("publish", 0),
    )


def test_a_rootless_engine_may_not_use_low_ports() -> None:
    assert first({"is_rootless_engine": True}, {}) == (
        "failure",
        "80 (HTTP) is free, but the rootless engine may only use 1024 and above",
        "`sysctl -w net.ipv4.ip_unprivileged_port_start=80`",
    )
    assert first({"is_rootless_engine": True, "unprivileged_from": 80}, {})[0] == "ok"


def test_a_kernel_that_does_not_tell() -> None:
    assert first({"error": "/proc/net does not tell (FileNotFoundError)"}, {}) == (
        "warning",
        "who holds 80 (HTTP) is not known: /proc/net does not tell (FileNotFoundError)",
        "`ss -ltnp 'sport = :80'` must show nothing",
    )


def own_name() -> str:
    return Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize(
    ("family", "kind", "bind", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1", "tcp"),
        (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0", "tcp"),
        (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1", "udp"),
        (socket.AF_INET6, socket.SOCK_STREAM, "::1", "tcp"),
    ],
)
def test_a_real_listener_is_found_with_this_process(
    family: socket.AddressFamily, kind: socket.SocketKind, bind: str, protocol: str
) -> None:
    with socket.socket(family, kind) as listener:
        try:
            listener.bind((bind, 0))
        except OSError:
            pytest.skip(f"this machine has no {bind}")
        if kind == socket.SOCK_STREAM:
            listener.listen()
        port = listener.getsockname()[1]
        (found,) = [item for item in sockets.listeners({port}) if item.protocol == protocol]
        assert (found.port, found.protocol, found.address) == (port, protocol, bind)
        assert (found.pid, found.name) == (os.getpid(), own_name())


def test_gather_and_judge_name_this_process() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        stack = needs(address="127.0.0.1", ports=((port, "HTTP"),))
        facts = ports.gather(stack, ScriptedEngine(answers={"ps": Answer("")}))
        (found,) = ports.judge(facts, stack)
    assert found.level == "failure"
    assert found.text == f"{port} (HTTP) is held by {own_name()} (pid {os.getpid()})"
    (after,) = ports.judge(ports.gather(stack, ScriptedEngine(answers={"ps": Answer("")})), stack)
    assert after.text == f"{port} (HTTP) is free"


@pytest.mark.skipif(shutil.which("ss") is None, reason="only the program `ss` tells, and it is not here")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("only_ipv6", [True, False])
def test_an_ipv6_wildcard_takes_ipv4_or_leaves_it_alone(kind: socket.SocketKind, only_ipv6: bool) -> None:
    with socket.socket(socket.AF_INET6, kind) as listener:
        try:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
            listener.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        if kind == socket.SOCK_STREAM:
            listener.listen()
        found = sockets.listeners({listener.getsockname()[1]})
        protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
        (own,) = [item for item in found if item.protocol == protocol]
    assert (own.address, own.only_ipv6) == ("::", only_ipv6)


def test_a_kernel_without_ipv6_or_without_tables(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sockets.listeners({80}, tmp_path)
    (tmp_path / "net").mkdir()
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    (tmp_path / "net/tcp").write_text(
        head
        + "   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1060 1 0 100\n"
        + "   1: 0100007F:0051 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 1061 1 0 100\n"
    )
    (found,) = sockets.listeners({80, 81}, tmp_path)
    assert (found.port, found.address, found.user, found.pid) == (80, "127.0.0.1", "root", 0)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("0::/system.slice/nginx.service\n", ("nginx", False)),
        ("9:name=systemd:/system.slice/apache2.service\n4:memory:/x.service\n", ("apache2", False)),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n", ("postgresql@17-main", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/caddy.service\n", ("caddy", True)),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ("", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", ("", True)),
        ("4:memory:/process_api/46\n0::/\n", ("", False)),
        ("", ("", False)),
    ],
)
def test_unit_of(groups: str, expected: tuple[str, bool]) -> None:
    unit, is_user_unit = sockets.unit_of(groups)
    assert unit == expected[0]
    assert not unit or is_user_unit is expected[1]


def test_containers_are_read_from_docker_ps() -> None:
    rows = [
        f"{'a' * 64}\tacme-traefik-1\tacme\t0.0.0.0:80->80/tcp, [::]:80->80/tcp, 127.0.0.1:8000-8001->9000-9001/udp",
        f"{'b' * 64}\tacme-web-1\tacme\t8000/tcp",
        f"{'c' * 64}\told\t\t:::8443->443/tcp",
    ]
    found = containers.running_containers(ScriptedEngine(answers={"ps": Answer("\n".join(rows))}))
    assert found == (
        RunningContainer(
            "a" * 64,
            "acme-traefik-1",
            "acme",
            (
                Published("0.0.0.0", 80, 80, "tcp"),
                Published("::", 80, 80, "tcp"),
                Published("127.0.0.1", 8000, 8001, "udp"),
            ),
        ),
        RunningContainer("b" * 64, "acme-web-1", "acme", ()),
        RunningContainer("c" * 64, "old", "", (Published("::", 8443, 8443, "tcp"),)),
    )
    assert containers.running_containers(ScriptedEngine(answers={"ps": Answer(error="gone", status=1)})) is None
