"""Try the built images for real, each by the contract that the public image of its name has.

python3 tests/images/try_images.py [NAME...]
"""

from __future__ import annotations

import gzip
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

import recipes
from containers import Container, expect, once, require, started
from rig import RigError, run, say

PASSWORD = "a'b\"c $d"
DATABASE = "with space"


@contextmanager
def files(content: dict[str, str | bytes], mode: int = 0o644) -> Iterator[str]:
    """Make a folder with files that any user can enter, for a bind mount."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name, text in content.items():
            path = Path(folder) / name
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            path.chmod(0o755 if text[:2] in ("#!", b"#!") else mode)
        yield folder


def try_postgres(image: str) -> None:
    """Check first start, scripts, options, refusals, secrets, restart and a clean stop."""
    told = 'psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c "INSERT INTO told VALUES (\'{}\')"'
    scripts: dict[str, str | bytes] = {
        "1.sql": "CREATE TABLE told (by text); INSERT INTO told VALUES ('sql');",
        "2.sql.gz": gzip.compress(b"INSERT INTO told VALUES ('gz');"),
        "3.sh": told.format("sourced"),
        "4.sh": "#!/bin/sh\n" + told.format("executed"),
    }
    options = ["-e", f"POSTGRES_PASSWORD={PASSWORD}", "-e", f"POSTGRES_DB={DATABASE}"]
    with files(scripts) as folder:
        mount = ["-v", f"{folder}:/docker-entrypoint-initdb.d:ro"]
        with started(image, *options, *mount, command=["-c", "max_connections=42"]) as server:
            _try_postgres_server(server)
    _try_postgres_secrets(image)
    _try_postgres_refusals(image)


def _try_postgres_server(server: Container) -> None:
    def ask(question: str, password: str = PASSWORD) -> str:
        # Not over the socket: that answers during the first start as well.
        client = ["psql", "-h", server.address(), "-U", "postgres", "-d", DATABASE, "-At"]
        return server.run("env", f"PGPASSWORD={password}", *client, "-c", question)

    def told() -> str:
        return ask("SELECT string_agg(by, ' ') FROM told")

    def lets_in_wrong_password() -> bool:
        try:
            ask("SELECT 1", password="wrong")
        except RigError:
            return False
        return True

    expect("scripts ran in order", lambda: told() == "sql gz sourced executed")
    require("options are in force", ask("SHOW max_connections") == "42")
    require("the server is uid 999", server.run("stat", "-c", "%u:%g", "/proc/1") == "999:999")
    require("locale", ask("SHOW lc_messages").lower() == "en_us.utf8")
    require("a wrong password is refused", not lets_in_wrong_password())
    ask("INSERT INTO told VALUES ('later')")
    server.stop()
    require("docker stop ends with 0", server.exit_status() == 0)
    require("clean shutdown", "database system is shut down" in server.logs())
    server.start()
    expect("data is kept, scripts did not run again", lambda: told().endswith("executed later"))
    require("no recovery", "not properly shut down" not in server.logs())


def _try_postgres_secrets(image: str) -> None:
    options = [
        *("-e", "POSTGRES_PASSWORD_FILE=/run/secrets/password"),
        *("-e", "POSTGRES_USER_FILE=/run/secrets/user"),
        *("-e", "POSTGRES_INITDB_ARGS=--data-checksums --locale='C'"),
    ]
    client = ["psql", "-h", "127.0.0.1", "-U", "captain", "-Atc"]
    secrets_folder = files({"password": "from-file\n", "user": "captain\n"}, mode=0o600)
    with secrets_folder as folder, started(image, "-v", f"{folder}:/run/secrets:ro", *options) as server:

        def ask(question: str) -> str:
            return server.run("env", "PGPASSWORD=from-file", *client, question)

        expect("initdb's arguments arrive", lambda: ask("SHOW data_checksums") == "on")
        require("user from a file", ask("SELECT current_database()") == "captain")


def _try_postgres_refusals(image: str) -> None:
    refused = once(image)
    require("refuses without a password", refused.returncode != 0 and "PASSWORD" in refused.stderr)
    bad = ["-v", "/etc/hostname:/docker-entrypoint-initdb.d/bad.sql:ro"]
    failed = once(image, "-e", "POSTGRES_PASSWORD=x", *bad)
    require("a failing script fails the start", failed.returncode != 0)
    version = once(image, command=["postgres", "--version"])
    require("--version needs no cluster", version.stdout.startswith("postgres (PostgreSQL)"))


def try_redis(image: str) -> None:
    """Check access from outside, the user, the append-only file, a config file."""
    with started(image, command=["redis-server", "--appendonly", "yes"]) as server:
        ping = ["redis-cli", "-h", server.address(), "ping"]
        expect("ping from outside", lambda: once(image, command=ping).stdout == "PONG\n")
        owners = server.run("stat", "-c", "%u:%g", "/proc/1", "/data")
        require("the server is uid 999", owners == "999:999\n999:999")
        server.run("redis-cli", "set", "ship", "moored")
        server.stop()
        require("docker stop ends with 0", server.exit_status() == 0)
        server.start()
        expect("data is kept", lambda: server.run("redis-cli", "get", "ship") == "moored")
    config = "protected-mode yes\nmaxmemory 32mb\n"
    command = ["/etc/x/redis.conf"]
    with (
        files({"redis.conf": config}) as folder,
        started(image, "-v", f"{folder}:/etc/x:ro", command=command) as server,
    ):
        read = ("redis-cli", "config", "get")
        expect("a config file counts", lambda: "33554432" in server.run(*read, "maxmemory"))
        require("and wins", server.run(*read, "protected-mode").endswith("yes"))


def try_traefik(image: str) -> None:
    """Check the version of the tag, a static file, the tools that scripts rely on."""
    wanted = image.rpartition(":v")[2]
    for command in (["version"], ["traefik", "version"], ["sh", "-c", "traefik version"]):
        require(f"{command}", wanted in once(image, command=command).stdout)
    look = "for tool in cp mv wget; do command -v $tool; done"
    require("cp, mv, wget", once(image, command=["sh", "-ec", look]).returncode == 0)
    static = "ping: {}\nentryPoints: {traefik: {address: ':8080'}}\n"
    with files({"traefik.yaml": static}) as folder, started(image, "-v", f"{folder}:/etc/traefik:ro") as server:
        ping = ("wget", "-qO-", "http://127.0.0.1:8080/ping")
        expect("it answers", lambda: server.run(*ping) == "OK")
        server.run("traefik", "healthcheck")


def try_haproxy(image: str) -> None:
    """Check the config's place, the user, master and worker, the graceful stop."""
    config = (
        "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n"
        "frontend web\n bind :80\n"
        " http-request return status 200 content-type text/plain string moored\n"
    )
    with (
        files({"haproxy.cfg": config}) as folder,
        started(image, "-v", f"{folder}:/usr/local/etc/haproxy:ro") as server,
    ):
        expect("it answers", lambda: _fetch(f"http://{server.address()}/") == "moored")
        require("uid 99", server.run("stat", "-c", "%u", "/proc/1") == "99")
        require("master and worker", "-W" in server.run("cat", "/proc/1/cmdline"))
        server.stop()
        require("ends with 0", server.exit_status() == 0)


def try_nginx(image: str) -> None:
    """Check the welcome page, templates, logs and the graceful stop."""
    with started(image) as server:
        expect("it answers", lambda: "Welcome to nginx" in _fetch(f"http://{server.address()}/"))
        expect("it logs to stdout", lambda: '"GET / HTTP' in server.logs())
        require("conf.d", "default.conf" in server.run("ls", "/etc/nginx/conf.d"))
        server.stop()
        require("ends with 0", server.exit_status() == 0)
    site = "server { listen 81; location / { return 200 '${SHIP} $request_method'; } }"
    with files({"site.conf.template": site}) as folder:
        mount = f"{folder}:/etc/nginx/templates:ro"
        with started(image, "-e", "SHIP=moored", "-v", mount) as server:
            expect("template", lambda: _fetch(f"http://{server.address()}:81/") == "moored GET")


def try_busybox(image: str) -> None:
    """Check the applets that tests use."""
    look = "for tool in env wget httpd nc tar sha256sum; do command -v $tool || exit 1; done"
    require("applets", once(image, command=["sh", "-c", look]).returncode == 0)


def try_python(image: str) -> None:
    """Check pip in a plain RUN, and the usual places for --prefix, --user and venv."""
    _build(image, "RUN pip install --no-cache-dir six && python -c 'import six'")
    story = """
        pip install -q --prefix=/install six
        pip install -q --user six
        python -m venv /v && /v/bin/pip install -q six
        ls /install/lib/python*/site-packages/six.py /root/.local/lib/python*/site-packages/six.py
        python -c 'import ctypes, lzma, six, sqlite3, ssl, sys; print(sys.prefix, six.__file__)'
        python --version; python3 --version
    """
    done = once(image, command=["sh", "-ec", story])
    require(f"{done.stdout}{done.stderr}", done.returncode == 0)
    version = image.rpartition(":")[2].removesuffix("-slim")
    require("both names", done.stdout.count(f"Python {version}.") == len(("python", "python3")))
    require("prefix", "/usr/local /root/.local" in done.stdout)


def try_node(image: str) -> None:
    """Check npm in a plain RUN, the version of the tag, and that options alone mean node."""
    use = "npm install --no-audit --no-fund is-number && node -e 'require(\"is-number\")'"
    _build(image, f"WORKDIR /app\nRUN {use}")
    major = image.rpartition(":")[2].removesuffix("-slim")
    require("version", once(image, command=["--version"]).stdout.startswith(f"v{major}."))
    require("npx", once(image, command=["npx", "--version"]).returncode == 0)


def try_pebble(image: str) -> None:
    """Check the directory over https, verified with the certificate that is in the image."""
    with started(image) as server:
        authority = server.run("cat", "/test/certs/pebble.minica.pem")
        with files({"authority.pem": authority}) as folder:
            trust = ["--cacert", f"{folder}/authority.pem"]
            trust += ["--connect-to", f"::{server.address()}:"]
            directory = "https://localhost:14000/dir"
            expect("directory", lambda: "newNonce" in _fetch(directory, *trust))
            require("roots", "BEGIN" in _fetch("https://pebble:15000/roots/0", *trust))


def _fetch(address: str, *options: str) -> str:
    return run(["curl", "-sSf", "--max-time", "5", *options, address], timeout_seconds=10)


def _build(image: str, lines: str) -> None:
    """Build a throw-away image on top of another, as an app's Dockerfile would."""
    # The comment is new each time, so that nothing comes from the cache.
    with files({"Dockerfile": f"FROM {image}\n{lines} # {secrets.token_hex(4)}\n"}) as folder:
        run(["docker", "build", "--quiet", folder], timeout_seconds=180)


TRIALS: tuple[tuple[str, Callable[[str], None]], ...] = (
    ("postgres", try_postgres),
    ("redis", try_redis),
    ("traefik", try_traefik),
    ("haproxy", try_haproxy),
    ("nginx", try_nginx),
    ("busybox", try_busybox),
    ("python", try_python),
    ("node", try_node),
    ("ghcr.io/letsencrypt/pebble", try_pebble),
)


def main() -> int:
    """Try every image of the named families, or all of them."""
    failures = 0
    for family, trial in TRIALS:
        if sys.argv[1:] and family not in sys.argv[1:]:
            continue
        for image in recipes.choose([family], recipes.read_all()):
            begun = time.monotonic()
            try:
                trial(image)
            except RigError as error:
                failures += 1
                say(f"{image}: {error}")
            else:
                print(f"{image:<34} as promised {time.monotonic() - begun:6.1f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
