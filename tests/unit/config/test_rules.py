"""What a value means beyond its type: host names, addresses, schedules, image references."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config import rules

ALL = (
    rules.name, rules.deployment_name, rules.host_name, rules.address, rules.email, rules.network, rules.port, rules.url,
    rules.route_path, rules.variable_name, rules.image, rules.cron, rules.server_host, rules.traefik_version,
)  # fmt: skip


def refused(rule: Callable[[object], object], value: object) -> str:
    """The sentence that a value is refused with."""
    with pytest.raises(ValueError) as error:
        rule(value)
    assert type(error.value) is ValueError
    return str(error.value)


def is_a_sentence(text: str) -> bool:
    """Whether a message follows the key's name, rather than being one of Python's own."""
    return text.startswith(("must ", "is ", "has "))


@pytest.mark.parametrize("rule", ALL)
def test_every_rule_refuses_what_is_no_text_with_a_sentence(rule: Callable[[object], object]) -> None:
    for value in (None, "", " ", [], {}, [1], {"a": 1}, True, 1.5, object()):
        assert is_a_sentence(refused(rule, value)), value


@given(rule=st.sampled_from(ALL), value=st.one_of(st.text(max_size=30), st.integers()))
def test_no_value_makes_a_rule_crash_and_what_is_accepted_is_stable(
    rule: Callable[[object], object], value: object
) -> None:
    try:
        normal = rule(value)
    except ValueError as error:
        assert type(error) is ValueError
        return
    assert rule(normal) == normal


@pytest.mark.parametrize(("rule", "value"), [(rules.port, "²"), (rules.cron, "² * * * *"), (rules.cron, "*/² * * * *")])
def test_a_digit_that_is_no_number_is_refused_with_a_sentence(rule: Callable[[object], object], value: str) -> None:
    assert is_a_sentence(refused(rule, value))


@pytest.mark.parametrize("text", ["a", "acme", "a1", "a-b", "a" * 40, "  acme  "])
def test_a_name_is_small_letters_digits_and_dashes(text: str) -> None:
    assert rules.name(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["A", "1a", "-a", "a-", "a_b", "a.b", "a b", "ä", "a" * 41, "a\nb", "a/b", "../a", "a\n-"]
)
def test_a_name_is_nothing_else(text: str) -> None:
    assert is_a_sentence(refused(rules.name, text))


@pytest.mark.parametrize("text", ["default", "host", "none", "bridge", "docker", "moorage", "localhost"])
def test_names_that_docker_uses_are_no_deployment_names(text: str) -> None:
    assert "reserved" in refused(rules.deployment_name, text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("notes.example.com", "notes.example.com"),
        ("Notes.Example.COM", "notes.example.com"),
        ("notes.example.com.", "notes.example.com"),
        (" notes.example.com ", "notes.example.com"),
        ("xn--mller-kva.de", "xn--mller-kva.de"),
        ("a.xn--p1ai", "a.xn--p1ai"),
        ("1.example.com", "1.example.com"),
        ("a-b.c-d.example", "a-b.c-d.example"),
        ("x" * 63 + ".example.com", "x" * 63 + ".example.com"),
        ("localhost", "localhost"),
        ("notes.localhost", "notes.localhost"),
        (".".join(["a" * 61] * 4) + ".de", ".".join(["a" * 61] * 4) + ".de"),
    ],
)
def test_a_host_name_is_taken_in_its_normal_form(written: str, normal: str) -> None:
    assert rules.host_name(written) == normal


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("https://notes.example.com", "without http://"),
        ("notes.example.com/path", "port or path"),
        ("notes.example.com:8080", "port or path"),
        ("*.example.com", "wildcard: true"),
        ("192.168.1.1", "not an address"),
        ("::1", "port or path"),
        ("notes", "full host name"),
        ("example", "full host name"),
        ("1.2.3", "full host name"),
        ("notes..com", "full host name"),
        (".example.com", "full host name"),
        ("-a.example.com", "full host name"),
        ("a-.example.com", "full host name"),
        ("a_b.example.com", "full host name"),
        ("müller.de", "full host name"),
        ("a b.example.com", "full host name"),
        ("user@example.com", "full host name"),
        ("`x`.example.com", "full host name"),
        ("x" * 64 + ".example.com", "full host name"),
        (".".join(["a" * 62] * 4) + ".de", "full host name"),
    ],
)
def test_what_is_no_host_name_is_refused_with_the_way_out(written: str, words: str) -> None:
    assert words in refused(rules.host_name, written)


@pytest.mark.parametrize("written", ["notes\n.example.com", "a.b\n.c"])
def test_a_line_end_inside_a_host_name_is_refused(written: str) -> None:
    refused(rules.host_name, written)


@pytest.mark.parametrize(
    "written", ["a b.localhost", "..localhost", "-.localhost", "x`) || Host(`y.localhost", "ä.localhost", "@.localhost"]
)
def test_a_name_below_localhost_is_a_host_name_too(written: str) -> None:
    refused(rules.host_name, written)


def test_only_one_dot_may_stand_at_the_end_of_a_host_name() -> None:
    refused(rules.host_name, "example.com..")


@pytest.mark.parametrize("text", ["ops@example.com", "first.last+tag@sub.example.co.uk", "a@b.de", "OPS@Example.com"])
def test_an_email_address_is_accepted(text: str) -> None:
    assert rules.email(text) == text


@pytest.mark.parametrize(
    "text",
    ["ops", "ops@", "@example.com", "ops@example", "a b@example.com", "a@b@example.com", "ops@-x.com", "ops@x..com",
     "Ops <ops@example.com>", "ops@example.com, b@example.com", "ops@[1.2.3.4]", "mailto:ops@example.com", "ops@exa_mple.com",
     'a"b@example.com', "ops@example.com."],
)  # fmt: skip
def test_what_is_no_email_address_is_refused(text: str) -> None:
    assert "e-mail" in refused(rules.email, text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.1", "10.0.0.1/32"), ("fd00::/8", "fd00::/8"), ("0.0.0.0/0", "0.0.0.0/0"),
     ("10.0.0.0/255.0.0.0", "10.0.0.0/8"), ("FD00::/8", "fd00::/8")],
)  # fmt: skip
def test_a_network_is_taken_in_its_normal_form(written: str, normal: str) -> None:
    assert rules.network(written) == normal


def test_a_network_with_host_bits_is_refused_with_the_right_one() -> None:
    assert "10.1.0.0/16" in refused(rules.network, "10.1.2.3/16")
    assert "fd00::/8" in refused(rules.network, "fd00::1/8")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0/8", "example.com", "10.0.0.0/", "::/129", "10.0.0.0/8/8", "10.0.0.256/32"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    assert "CIDR" in refused(rules.network, text)


@pytest.mark.parametrize("text", ["0.0.0.0", "127.0.0.1", "::", "::1", "2001:db8::1"])
def test_an_address_is_accepted(text: str) -> None:
    assert rules.address(text) == text


@pytest.mark.parametrize("text", ["localhost", "1.2.3", "1.2.3.4/32", "01.2.3.4", "[::1]", "1.2.3.4:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert "IP address" in refused(rules.address, text)


@pytest.mark.parametrize(("written", "number"), [(1, 1), (65535, 65535), ("443", 443)])
def test_a_port_is_a_number(written: object, number: int) -> None:
    assert rules.port(written) == number


@pytest.mark.parametrize(
    "written", [0, 65536, -1, "0", "-1", "80/tcp", "http", "8080:80", 80.0, True, "8 0", "0x50", "1e3", "+80"]
)
def test_what_is_no_port_is_refused(written: object) -> None:
    assert "between 1 and 65535" in refused(rules.port, written)


@pytest.mark.parametrize(
    "text",
    ["https://example.com", "http://10.0.0.1:9000/path?x=1", "https://[::1]:8443/", "https://localhost:14000/dir"],
)
def test_a_url_is_accepted(text: str) -> None:
    assert rules.url(text) == text


@pytest.mark.parametrize(
    "text",
    ["example.com", "ftp://example.com", "https://", "https://:80", "https://example.com:99999", "https://[::1", "//example.com",
     "https://user@example.com", "https://user:word@example.com", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_url_is_refused(text: str) -> None:
    refused(rules.url, text)


@pytest.mark.parametrize(
    "text", ["https://exa mple.com", "https://example.com/a #b", "https://example.com/a: b", "https://exam\nple.com/x"]
)
def test_a_url_with_white_space_is_refused(text: str) -> None:
    refused(rules.url, text)


@pytest.mark.parametrize("text", ["/", "/api", "/api/v1/", "/a.b-c_d~e", "/%20", "/a:b", "/(x)"])
def test_a_route_path_is_accepted(text: str) -> None:
    assert rules.route_path(text) == text


@pytest.mark.parametrize(
    "text", ["api", "/a b", "/a?b", "/a#b", "/a`b", '/a"b', "/a{b}", "/ä", "/a\\b", "/a\nb", "http://x/", "/a$b"]
)
def test_what_is_no_route_path_is_refused(text: str) -> None:
    assert "URL path" in refused(rules.route_path, text)


@pytest.mark.parametrize("text", ["A", "_A", "a1_B", "__"])
def test_a_variable_name_is_accepted(text: str) -> None:
    assert rules.variable_name(text) == text


@pytest.mark.parametrize("text", ["1A", "A-B", "A.B", "A B", "A=B", "Ä", "$A", "A\nB"])
def test_what_is_no_variable_name_is_refused(text: str) -> None:
    refused(rules.variable_name, text)


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        "nginx",
        "nginx:1.27",
        "library/nginx",
        "docker.io/library/nginx:1.27-alpine",
        "ghcr.io/acme/web:1.2.3",
        "registry.example.com:5000/a/b/c:tag",
        "localhost:5000/web",
        "localhost/web",
        "Registry.Example.COM/web:TAG",
        f"nginx@{DIGEST}",
        f"ghcr.io/acme/web:1.2.3@{DIGEST}",
        "my_app/web__api/a.b-c--d",
        "10.0.0.1:5000/web",
        "web:_x",
        "web:" + "t" * 128,
    ],
)
def test_an_image_reference_is_accepted(text: str) -> None:
    assert rules.image(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "Nginx",
        "acme/Web",
        "nginx:",
        "nginx:1.27:2",
        "nginx@sha256:123",
        "nginx@md5:" + "0" * 32,
        ":1.27",
        "/nginx",
        "nginx/",
        "a//b",
        "nginx:-x",
        "web:" + "t" * 129,
        "web:a b",
        "a..b",
        "a.-b",
        "https://ghcr.io/acme/web",
        "registry:port/web",
        "nginx@",
        "${IMAGE}",
        "web:ä",
    ],
)
def test_what_is_no_image_reference_is_refused(text: str) -> None:
    assert "image name" in refused(rules.image, text)


@pytest.mark.parametrize("text", ["Acme/web", "ACME/web:1"])
def test_capital_letters_are_for_registries_only(text: str) -> None:
    refused(rules.image, text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("30 3 * * *", "30 3 * * *"),
        ("  30   3 * *  * ", "30 3 * * *"),
        ("*/15 0-6,22-23 1,15 JAN-mar MON-Fri", "*/15 0-6,22-23 1,15 jan-mar mon-fri"),
        ("0 0 1-31/2 * 0-7", "0 0 1-31/2 * 0-7"),
        ("59 23 31 12 7", "59 23 31 12 7"),
        ("0 0 * * sun,7,0", "0 0 * * sun,7,0"),
        ("5-5 * * * *", "5-5 * * * *"),
    ],
)
def test_a_cron_expression_is_accepted(written: str, normal: str) -> None:
    assert rules.cron(written) == normal


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("@daily", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * 32 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "day of week"),
        ("* * * foo *", "month"),
        ("* * * mon *", "month"),
        ("* * * * jan", "day of week"),
        ("*/0 * * * *", "step"),
        ("*/x * * * *", "step"),
        ("*/ * * * *", "step"),
        ("*/-5 * * * *", "step"),
        ("5-1 * * * *", "backwards"),
        ("* 22-6 * * *", "backwards"),
        ("1,,2 * * * *", "minute"),
        ("1- * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("*-5 * * * *", "minute"),
        ("? * * * *", "minute"),
        ("0 0 L * *", "day of month"),
        ("0 0 * * 5#2", "day of week"),
        ("1.5 * * * *", "minute"),
        ("*/2/2 * * * *", "step"),
    ],
)
def test_what_is_no_cron_expression_is_refused_by_field(written: str, words: str) -> None:
    assert words in refused(rules.cron, written)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.localdomain", "db.localhost", "127.0.0.1", "127.1.2.3", "::1", "0.0.0.0"],
)
def test_another_server_is_never_the_container_itself(host: str) -> None:
    assert "container itself" in refused(rules.server_host, host)


@pytest.mark.parametrize("host", ["db", "10.0.0.5", "db.example.com", "host.docker.internal", "localhosts.example.com"])
def test_another_server_has_a_name_or_an_address(host: str) -> None:
    assert rules.server_host(host) == host


@pytest.mark.parametrize(
    ("version", "is_good"),
    [
        ("v3.7.12", True), ("v3.7.15", True), ("v3.7", True), ("v3.8.0", True), ("v3.10", True),
        ("v3.7.11", False), ("v3.6.15", False), ("v3.6", False), ("v2.11", False), ("3.7.15", False), ("v4.0", False), ("v3.7.15\n5", False),
    ],
)  # fmt: skip
def test_traefik_is_one_that_keeps_tokens_out_of_its_log(version: str, is_good: bool) -> None:
    if is_good:
        assert rules.traefik_version(version) == version
    else:
        refused(rules.traefik_version, version)
