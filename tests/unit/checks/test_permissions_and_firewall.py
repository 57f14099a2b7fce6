"""What the stack may do to the host, and what it opens to the world."""

from pathlib import Path
from typing import Any

import pytest

from moorage.checks import firewall, permissions
from moorage.checks.base import PublicationNeed, ServiceNeed
from moorage.checks.firewall import FirewallFacts
from tests.unit.checks.samples import lines, needs


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ({}, [("ok", "no service has Docker's socket, no database is published", "")]),
        (
            {
                "services": (
                    ServiceNeed("backend", "b", False, "write", "it starts a container for every project"),
                    ServiceNeed("runner", "r", False, "write"),
                )
            },
            [
                (
                    "warning",
                    "backend has Docker's socket (write): the same as root on this host, because it starts a container "
                    "for every project",
                    "if that is not meant: take `docker_access` of backend out of the app's file, or `backend` out of "
                    "`permissions.docker_access`",
                ),
                (
                    "warning",
                    "runner has Docker's socket (write): the same as root on this host",
                    "if that is not meant: take `docker_access` of runner out of the app's file, or `runner` out of "
                    "`permissions.docker_access`",
                ),
            ],
        ),
        (
            {
                "publications": (PublicationNeed("postgres", 5432, key=("publish", 2)),),
                "database_publications": (
                    ("postgres", 5432, "0.0.0.0"),
                    ("redis", 6379, "10.0.0.5"),
                    ("mysql", 3306, "127.0.0.1"),
                    ("mongo", 27017, "8.8.8.8"),
                ),
            },
            [
                (
                    "warning",
                    "postgres is published on 0.0.0.0:5432: a database open to the world",
                    "`publish[2].address: 127.0.0.1` and `ssh -L 5432:127.0.0.1:5432`, or take it out of `publish`",
                ),
                (
                    "warning",
                    "redis is published on 10.0.0.5:6379: a database open to the local network",
                    "`publish.address: 127.0.0.1` and `ssh -L 6379:127.0.0.1:6379`, or take it out of `publish`",
                ),
                ("ok", "mysql is published on 127.0.0.1:3306, for this host only", ""),
                (
                    "warning",
                    "mongo is published on 8.8.8.8:27017: a database open to the world",
                    "`publish.address: 127.0.0.1` and `ssh -L 27017:127.0.0.1:27017`, or take it out of `publish`",
                ),
            ],
        ),
    ],
)
def test_permissions(stack: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(permissions.judge(needs(**stack))) == expected


def test_permissions_lead_to_their_keys() -> None:
    stack = needs(
        services=(ServiceNeed("backend", "b", False, "write"),),
        publications=(PublicationNeed("postgres", 5432, key=("publish", 2)),),
        database_publications=(("postgres", 5432, "::"),),
    )
    assert [item.key for item in permissions.judge(stack)] == [("permissions", "docker_access"), ("publish", 2)]


GITEA = PublicationNeed("gitea", 2222, key=("publish", 0))
MAIL = PublicationNeed("mail", 25, "203.0.113.7", "tcp", ("publish", 1))
LOCAL = PublicationNeed("postgres", 5432, "127.0.0.1", "tcp", ("publish", 2))
ON = FirewallFacts(True, False, "ens3")


@pytest.mark.parametrize(
    ("facts", "publications", "expected"),
    [
        (ON, (), ("ok", "nothing is published besides 80 and 443", "")),
        (ON, (LOCAL,), ("ok", "nothing is published besides 80 and 443", "")),
        (FirewallFacts(False, False, ""), (GITEA, MAIL), ("ok", "2222 (gitea), 25 (mail) published, no ufw is on", "")),
        (
            FirewallFacts(None, False, ""),
            (GITEA,),
            (
                "ok",
                "2222 (gitea) published; whether ufw is on is not known, Docker goes past it in any case",
                "",
            ),
        ),
        (
            FirewallFacts(True, True, "ens3"),
            (GITEA,),
            ("ok", "2222 (gitea) published; ufw's rules reach Docker's chain DOCKER-USER", ""),
        ),
        (
            ON,
            (GITEA, MAIL, LOCAL),
            (
                "warning",
                "ufw is on, but Docker publishes 2222 (gitea), 25 (mail) past it",
                "`publish[0].address: 127.0.0.1`, or let only your network in: `iptables -I DOCKER-USER -i ens3 -p tcp "
                "-m conntrack --ctorigdstport 2222 --ctdir ORIGINAL ! -s 203.0.113.0/24 -j DROP`",
            ),
        ),
    ],
)
def test_firewall(
    facts: FirewallFacts, publications: tuple[PublicationNeed, ...], expected: tuple[str, str, str]
) -> None:
    assert lines(firewall.judge(facts, needs(publications=publications))) == [expected]


ROUTES = "Iface\tDestination\tGateway\ndocker0\t000011AC\t00000000\nodd\nens3\t00000000\t0100A8C0\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, FirewallFacts(False, False, "")),
        ({"etc/ufw/ufw.conf": "# on\nENABLED=no\nLOGLEVEL=low\n"}, FirewallFacts(False, False, "")),
        (
            {"etc/ufw/ufw.conf": "ENABLED=yes\n", "proc/net/route": ROUTES},
            FirewallFacts(True, False, "ens3"),
        ),
        (
            {"etc/ufw/ufw.conf": 'ENABLED="yes"\n', "etc/ufw/after.rules": ":DOCKER-USER - [0:0]\n"},
            FirewallFacts(True, True, ""),
        ),
    ],
)
def test_gather_reads_ufws_own_files(files: dict[str, str], expected: FirewallFacts, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert firewall.gather(tmp_path) == expected


def test_a_file_of_ufw_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "etc/ufw/ufw.conf").mkdir(parents=True)
    assert firewall.gather(tmp_path).is_active is None
