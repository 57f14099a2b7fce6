"""Single platform parts in containers of their own: the start script of Redis, the route publisher, the socket proxy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

pytestmark = pytest.mark.docker
COMPOSE = Path(__file__).parents[2] / "compose"


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    answers = (
        shutil.which("docker")
        and subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    )
    need(bool(answers), "a Docker engine that answers (make engine)")


def _exec(container, *words: str) -> tuple[int, str]:  # type: ignore[no-untyped-def]
    answer = container.exec(list(words))
    return answer.exit_code, answer.output.decode()


@pytest.mark.parametrize(
    "password", ["plain", "with space", 'quo"te', "it's", "back\\slash", "hash # not", "dollar$HOME", "ünï✓"]
)
def test_redis_takes_any_password_without_showing_it(password: str, tmp_path: Path) -> None:
    from testcontainers.core.container import DockerContainer

    from moorage.app.extension import AppExtension, RedisNeed, Requires
    from moorage.sensitive import Sensitive
    from moorage.stack.model import BundledRedis, Image, Limits, LogLimits
    from moorage.targets.compose import platform
    from moorage.tree import Tree

    assert AppExtension(requires=Requires(redis=RedisNeed()))
    settings = BundledRedis(
        "redis", Image("redis:7"), Sensitive(password), 64 * 1024**2, "noeviction", Limits(1, 1, 1, 1), LogLimits(1, 2)
    )
    public, private = Tree(), Tree()
    platform._add_redis(settings, public, private)
    (tmp_path / "redis.conf").write_bytes(public.files["compose/redis/redis.conf"].content)
    environment = tmp_path / "redis.env"
    environment.write_bytes(private.files["platform/redis.env"].content)
    text = f"services: {{x: {{image: y, env_file: ['{environment}']}}}}"
    command = ["docker", "compose", "-f", "-", "--project-directory", str(tmp_path), "config", "--format", "json"]
    read = subprocess.run(command, input=text, text=True, capture_output=True, check=True)
    values = json.loads(read.stdout)["services"]["x"]["environment"]
    container = (
        DockerContainer("redis:7", user="999", entrypoint=["/bin/sh", "/etc/redis/start.sh"], read_only=True)
        .with_command("/etc/redis/redis.conf")
        .with_tmpfs_mount("/tmp")
        .with_volume_mapping(str(COMPOSE / "redis-start.sh"), "/etc/redis/start.sh", "ro")
        .with_volume_mapping(str(tmp_path / "redis.conf"), "/etc/redis/redis.conf", "ro")
    )
    for name, value in values.items():
        container = container.with_env(name, value.replace("$$", "$"))
    with container:
        end = time.monotonic() + 30
        while _exec(container, "redis-cli", "ping")[1].strip() != "PONG" and time.monotonic() < end:
            time.sleep(0.2)
        assert _exec(container, "redis-cli", "ping")[1].strip() == "PONG"
        assert "NOAUTH" in _exec(container, "env", "-u", "REDISCLI_AUTH", "redis-cli", "ping")[1]
        assert password not in _exec(container, "cat", "/proc/1/cmdline")[1]


def test_routes_appear_whole_and_go_when_they_are_gone(tmp_path: Path) -> None:
    rendered, live = tmp_path / "rendered", tmp_path / "live"
    rendered.mkdir()
    live.mkdir()
    (rendered / "routes.yaml").write_text("http: {}\n", encoding="utf-8")
    (live / "old.yaml").write_text("stale\n", encoding="utf-8")
    (live / "rollout.yaml").write_text("in use\n", encoding="utf-8")

    def publish(*words: str, stdin: str = "") -> None:
        subprocess.run(
            ["docker", "run", "--rm", "-i", "--network", "none", "-v", f"{COMPOSE / 'publish-routes.sh'}:/p.sh:ro", "-v", f"{rendered}:/rendered:ro", "-v", f"{live}:/live", "--entrypoint", "/bin/sh", "traefik:v3.7.15", "/p.sh", *words],
            input=stdin, text=True, check=True, capture_output=True,
        )  # fmt: skip

    publish("publish")
    assert {path.name for path in live.iterdir()} == {"routes.yaml", "rollout.yaml"}
    assert (live / "routes.yaml").read_text(encoding="utf-8") == "http: {}\n"
    publish("put", "rollout.yaml", stdin="http: {routers: {}}\n")
    assert (live / "rollout.yaml").read_text(encoding="utf-8") == "http: {routers: {}}\n"
    publish("remove", "rollout.yaml")
    publish("remove", "rollout.yaml")
    assert {path.name for path in live.iterdir()} == {"routes.yaml"}


@pytest.fixture(scope="module")
def socket_proxy() -> Iterator[str]:
    """The address of a socket proxy in front of this machine's engine."""
    from testcontainers.core.container import DockerContainer

    container = (
        DockerContainer("haproxy:3.0", user="root", cap_drop=["ALL"], cap_add=["DAC_OVERRIDE"], read_only=True)
        .with_volume_mapping(str(COMPOSE / "socket-proxy.cfg"), "/usr/local/etc/haproxy/haproxy.cfg", "ro")
        .with_volume_mapping("/var/run/docker.sock", "/var/run/docker.sock", "ro")
    )
    with container:
        yield _address(container)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_ping", 200),
        ("GET", "/version", 200),
        ("GET", "/v1.44/version", 200),
        ("GET", "/v1.44/containers/json", 200),
        ("GET", "/v1.44/containers/json?limit=0&all=1", 200),
        ("GET", "/v1.44/networks", 200),
        ("GET", "/v1.44/info", 403),
        ("GET", "/v1.44/images/json", 403),
        ("GET", "/v1.44/volumes", 403),
        ("GET", "/v1.44/secrets", 403),
        ("GET", "/v1.44/containers/x/logs?stdout=1", 403),
        ("GET", "/v1.44/containers/x/archive?path=/", 403),
        ("GET", "/v1.44/containers/x/export", 403),
        ("GET", "/v1.44/containers/x/../../images/json", 403),
        ("GET", "/v1.44/containers/%2e%2e/%2e%2e/images/json", 403),
        ("POST", "/v1.44/containers/create", 403),
        ("POST", "/v1.44/containers/json", 403),
        ("PUT", "/v1.44/containers/json", 403),
        ("DELETE", "/v1.44/containers/json", 403),
        ("POST", "/v1.44/containers/x/exec", 403),
        ("POST", "/v1.44/build", 403),
        ("GET", "//v1.44/images/json", 403),
    ],
)
def test_the_socket_proxy_reads_a_few_things_and_nothing_else(
    socket_proxy: str, method: str, path: str, status: int
) -> None:
    import http.client

    end = time.monotonic() + 20
    while True:
        try:
            connection = http.client.HTTPConnection(socket_proxy, 2375, timeout=5)
            connection.request(method, path)
            answer = connection.getresponse()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    assert answer.status == status


NAMES = ("web", "web-denied", "web-80", "moorage", "dashboard", "security")


def _address(container: Any) -> str:
    attributes = container.get_wrapped_container()
    attributes.reload()
    networks = attributes.attrs["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def _log(container: Any) -> list[str]:
    output, errors = container.get_logs()
    return [*output.decode().splitlines(), *errors.decode().splitlines()]


def test_no_token_of_an_address_gets_into_the_log(tmp_path: Path) -> None:
    """Our static file with the real program: query strings stay out, and so does what a route wants `unlogged`."""
    import urllib.request

    from testcontainers.core.container import DockerContainer

    from moorage.formats import dump_yaml
    from moorage.targets.compose.edge import static_view
    from moorage.templating import render_template
    from tests.unit.targets.compose.test_edge import DOMAIN, http_of, plain_stack, route

    http = http_of(route("web", paths=("/",), unlogged=("/chat/ws",)))
    (tmp_path / "dynamic").mkdir()
    (tmp_path / "dynamic" / "routes.yaml").write_text(dump_yaml({"http": http}), encoding="utf-8")
    static = render_template("traefik/traefik.yaml.j2", static_view(plain_stack()))
    (tmp_path / "traefik.yaml").write_text(static, encoding="utf-8")
    container = DockerContainer("traefik:v3.7.15").with_volume_mapping(str(tmp_path), "/etc/traefik", "ro")

    def ask(address: str, path: str) -> None:
        request = urllib.request.Request(f"http://{address}{path}", headers={"Host": DOMAIN})
        with suppress(OSError):  # Nothing stands behind the routes.
            urllib.request.urlopen(request, timeout=5).close()

    with container:
        address = _address(container)
        end = time.monotonic() + 30
        log = ""
        while "/seen" not in log and time.monotonic() < end:
            ask(address, "/chat/ws/tokenthree")
            ask(address, "/one?token=tokenone")
            ask(address, "/two?x=1&auth=tokentwo#tokentwo")
            ask(address, "/seen?last=tokenfour")
            time.sleep(0.3)
            log = "\n".join(line for line in _log(container) if '"web@file"' in line)
        assert '"RequestPath":"/one"' in log
        assert "/seen" in log
        assert not [word for word in ("tokenone", "tokentwo", "tokenfour", "/chat/ws") if word in log]
        assert "unlogged" not in "\n".join(_log(container))


def test_nobody_sends_the_proxys_own_headers_from_outside(tmp_path: Path) -> None:
    """`X_Forwarded_For` and `X.Forwarded.For` are the real header to PHP and WSGI: they end at the proxy."""
    import http.client
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from testcontainers.core.container import DockerContainer

    from moorage.formats import dump_yaml
    from moorage.targets.compose.edge import static_view
    from moorage.templating import render_template
    from tests.unit.targets.compose.test_edge import DOMAIN, http_of, plain_stack, route

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(list(self.headers.items())).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("0.0.0.0", 0), Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "dynamic").mkdir()
    static = render_template("traefik/traefik.yaml.j2", static_view(plain_stack()))
    (tmp_path / "traefik.yaml").write_text(static, encoding="utf-8")
    container = DockerContainer("traefik:v3.7.15").with_volume_mapping(str(tmp_path), "/etc/traefik", "ro")
    with container:
        address = _address(container)
        network = container.get_wrapped_container().attrs["NetworkSettings"]["Networks"]
        gateway = next(iter(network.values()))["Gateway"]
        routes = http_of(route("web", paths=("/",)))
        for service in routes["services"].values():
            service["loadBalancer"]["servers"] = [{"url": f"http://{gateway}:{server.server_port}"}]
        (tmp_path / "dynamic" / "routes.yaml").write_text(dump_yaml({"http": routes}), encoding="utf-8")
        forged = {
            "X_Forwarded_For": "6.6.6.6",
            "X.Forwarded.For": "6.6.6.6",
            "X-Forwarded-For": "6.6.6.6",
            "X-Own": "1",
        }
        seen: dict[str, str] = {}
        end = time.monotonic() + 30
        while not seen and time.monotonic() < end:
            with suppress(OSError, ValueError):
                connection = http.client.HTTPConnection(address, 80, timeout=5)
                connection.request("GET", "/", headers={"Host": DOMAIN, **forged})
                seen = dict(json.loads(connection.getresponse().read()))
            time.sleep(0.2)
    server.shutdown()
    assert seen["X-Own"] == "1"
    assert seen["X-Forwarded-For"] == gateway
    assert "6.6.6.6" not in seen.values()


def test_traefik_takes_every_name_and_every_text_that_we_write(tmp_path: Path) -> None:
    """Names with signs that no service has, and a header that looks like an expression of Traefik's own."""
    import urllib.request

    from testcontainers.core.container import DockerContainer

    from moorage.formats import dump_yaml
    from moorage.targets.compose.facts import ServiceFacts
    from moorage.targets.compose.rollout import rollout_routes
    from tests.unit.targets.compose.test_edge import DOMAIN, http_of, route

    value = '{{ env "HOSTNAME" }} {{{ `x` }} "y"'
    http = http_of(
        *(route(name, paths=(f"/{name}",), denied=("/no",), headers={"X-Own": value}, compress=True) for name in NAMES)
    )
    during = rollout_routes({"http": http}, ServiceFacts("web", "app", "x", "r"), ["acme-web-2"], DOMAIN, "token")
    (tmp_path / "routes.yaml").write_text(dump_yaml({"http": http}), encoding="utf-8")
    (tmp_path / "rollout.yaml").write_text(dump_yaml(during), encoding="utf-8")
    words = "--providers.file.directory=/routes --entryPoints.web.address=:80 --api.insecure=true"
    container = (
        DockerContainer("traefik:v3.7.15").with_command(words).with_volume_mapping(str(tmp_path), "/routes", "ro")
    )

    def ask(address: str, kind: str) -> dict[str, dict[str, Any]]:
        with urllib.request.urlopen(f"http://{address}:8080/api/http/{kind}?per_page=1000", timeout=5) as answer:
            return {item["name"].removesuffix("@file"): item for item in json.load(answer)}

    with container:
        address = _address(container)
        end = time.monotonic() + 30
        while True:
            try:
                routers = ask(address, "routers")
            except OSError:
                routers = {}
            if "web" in routers or time.monotonic() > end:
                break
            time.sleep(0.2)
        wanted = {**http["routers"], **during["http"]["routers"]}
        assert set(wanted) <= set(routers)
        assert {name: routers[name]["status"] for name in wanted} == dict.fromkeys(wanted, "enabled")
        headers = ask(address, "middlewares")["web:headers"]["headers"]["customResponseHeaders"]
        assert headers == {"X-Own": value}
