"""Images: here, to be built, to be pulled, or not to be had."""

import json
from typing import Any

import pytest

from moorage.checks import images
from moorage.checks.asking import Answer
from moorage.checks.base import ServiceNeed
from moorage.checks.images import ImageFacts, Remote
from tests.unit.checks.samples import ScriptedEngine, lines, needs

WEB, PG = "ghcr.io/acme/web:1", "postgres:17"
SERVICES = (ServiceNeed("web", WEB), ServiceNeed("worker", WEB), ServiceNeed("postgres", PG))
BUILT = (ServiceNeed("web", WEB, builds=True), ServiceNeed("worker", WEB), ServiceNeed("postgres", PG))


def missing(remote: Remote | None = None, **changes: Any) -> ImageFacts:
    answers = {} if remote is None else {WEB: remote}
    return ImageFacts(architecture="amd64", present={PG: "amd64"}, remote=answers, **changes)


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        (ImageFacts(present={WEB: "", PG: ""}), {}, ("ok", "2 of 2 here", "")),
        (ImageFacts(present={WEB: "", PG: ""}), {"pull": "never"}, ("ok", "2 of 2 here", "")),
        (ImageFacts(present={PG: ""}), {"services": BUILT}, ("ok", "1 of 2 here, 1 to be built", "")),
        (missing(Remote("there")), {}, ("ok", "1 of 2 here, 1 to be pulled", "")),
        (
            missing(Remote("there", architectures=("amd64", "arm64"))),
            {},
            ("ok", "1 of 2 here, 1 to be pulled", ""),
        ),
        (
            missing(Remote("there", architectures=("arm64", "ppc64le"))),
            {},
            (
                "failure",
                "ghcr.io/acme/web:1 does not exist for amd64, only for arm64, ppc64le",
                "another version or image under `images`, or a server of that kind",
            ),
        ),
        (
            missing(Remote("missing", "manifest unknown")),
            {},
            (
                "failure",
                "ghcr.io does not have ghcr.io/acme/web:1",
                "correct `images.tag` or `images.registry`, or push the image first",
            ),
        ),
        (
            missing(Remote("refused", "denied")),
            {},
            (
                "failure",
                "ghcr.io does not give ghcr.io/acme/web:1 to this host: it is private, or does not exist",
                "`docker login ghcr.io`, or correct `images.tag` or `images.registry`",
            ),
        ),
        (
            missing(Remote("unreachable", "dial tcp: lookup ghcr.io: no such host")),
            {},
            (
                "failure",
                "ghcr.io/acme/web:1 is not here, and ghcr.io cannot be reached: dial tcp: lookup ghcr.io: no such host",
                "open the way to ghcr.io (name server, firewall, proxy), or `docker load -i FILE`",
            ),
        ),
        (
            missing(Remote("unreachable", "dial tcp: no such host"), pulls_elsewhere=True),
            {},
            (
                "warning",
                "ghcr.io/acme/web:1 is not here; whether ghcr.io has it could not be found out: dial tcp: no such host",
                "`docker pull ghcr.io/acme/web:1` must work",
            ),
        ),
        (
            missing(Remote("unknown", "`docker manifest inspect` did not finish within 5 seconds")),
            {},
            (
                "warning",
                "ghcr.io/acme/web:1 is not here; whether ghcr.io has it could not be found out: `docker manifest "
                "inspect` did not finish within 5 seconds",
                "`docker pull ghcr.io/acme/web:1` must work",
            ),
        ),
        (
            missing(),
            {"pull": "never"},
            (
                "failure",
                "ghcr.io/acme/web:1 is not here, and `images.pull` is never",
                "`docker pull ghcr.io/acme/web:1`, or `docker load -i FILE`, or `images.pull: missing`",
            ),
        ),
        (
            ImageFacts(architecture="amd64", present={WEB: "arm64", PG: "amd64"}),
            {},
            (
                "warning",
                "ghcr.io/acme/web:1 is here for arm64, this host is amd64",
                "`docker pull --platform linux/amd64 ghcr.io/acme/web:1`",
            ),
        ),
        (
            ImageFacts(error="`docker image inspect` did not finish within 5 seconds"),
            {},
            (
                "warning",
                "which images are here is not known: `docker image inspect` did not finish within 5 seconds",
                "`docker image ls` must work",
            ),
        ),
        (
            ImageFacts(engine_answers=False),
            {},
            (
                "warning",
                "not looked at, because the Docker engine does not answer",
                "mend what `engine` says above, then `moorage check` again",
            ),
        ),
    ],
)
def test_judge(facts: ImageFacts, stack: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert lines(images.judge(facts, needs(**{"services": SERVICES, **stack}))) == [expected]


def test_an_image_that_the_app_starts_itself_counts_too() -> None:
    facts = ImageFacts(architecture="amd64", present={WEB: "amd64", PG: "amd64"})
    stack = needs(services=SERVICES, app_images=(ServiceNeed("projects:latest", "projects:latest", builds=True),))
    assert lines(images.judge(facts, stack)) == [("ok", "2 of 3 here, 1 to be built", "")]
    missing = needs(services=SERVICES, app_images=(ServiceNeed("projects:latest", "ghcr.io/acme/projects:1"),))
    (found,) = images.judge(ImageFacts(present=facts.present, remote={}), missing)
    assert "ghcr.io/acme/projects:1 is not here" in found.text


def test_the_public_registry_is_called_by_its_name() -> None:
    facts = ImageFacts(remote={PG: Remote("refused")})
    (found,) = images.judge(facts, needs(services=(ServiceNeed("db", PG),)))
    assert found.text.startswith("docker.io does not give postgres:17")
    assert found.fix.startswith("`docker login`, or")
    assert found.key == ("images",)


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("nginx", "docker.io"),
        ("acme/web:1", "docker.io"),
        ("ghcr.io/acme/web:1", "ghcr.io"),
        ("localhost/web", "localhost"),
        ("registry:5000/web@sha256:abc", "registry:5000"),
    ],
)
def test_registry_of(reference: str, registry: str) -> None:
    assert images.registry_of(reference) == registry


INDEX = json.dumps(
    {
        "manifests": [
            {"platform": {"architecture": "arm64", "os": "linux"}},
            {"platform": {"architecture": "amd64", "os": "linux"}},
            {"platform": {"architecture": "unknown", "os": "unknown"}},
        ]
    }
)
WRAPPED = 'failed to configure transport: error pinging v2 registry: Get "https://ghcr.io/v2/": '


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(INDEX), Remote("there", architectures=("amd64", "arm64"))),
        (Answer('{"schemaVersion": 2, "config": {}}'), Remote("there")),
        (Answer("rubbish"), Remote("there")),
        (
            Answer(error="no such manifest: ghcr.io/acme/web:1"),
            Remote("missing", "no such manifest: ghcr.io/acme/web:1"),
        ),
        (Answer(error="manifest unknown: manifest unknown"), Remote("missing", "manifest unknown: manifest unknown")),
        (
            Answer(error="unauthorized: authentication required"),
            Remote("refused", "unauthorized: authentication required"),
        ),
        (
            Answer(error="denied: requested access to the resource is denied"),
            Remote("refused", "denied: requested access to the resource is denied"),
        ),
        (
            Answer(error="unauthorized: access token has insufficient scopes"),
            Remote("unknown", "unauthorized: access token has insufficient scopes"),
        ),
        (Answer(error="toomanyrequests: limit reached"), Remote("unknown", "toomanyrequests: limit reached")),
        (
            Answer(error=WRAPPED + "dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host"),
            Remote("unreachable", "dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host"),
        ),
        (
            Answer(error=WRAPPED + "dial tcp 127.0.0.1:1: connect: connection refused"),
            Remote("unreachable", "dial tcp 127.0.0.1:1: connect: connection refused"),
        ),
        (
            Answer(error="`docker manifest inspect` did not finish within 5 seconds"),
            Remote("unknown", "`docker manifest inspect` did not finish within 5 seconds"),
        ),
    ],
)
def test_read_remote(answer: Answer, expected: Remote) -> None:
    assert images.read_remote(answer) == expected


NOT_HERE = Answer(error="Error response from daemon: No such image: ghcr.io/acme/web:1", status=1)


def test_gather_asks_the_registry_for_what_is_missing_only() -> None:
    engine = ScriptedEngine(
        {"Architecture": "x86_64", "HttpsProxy": "http://proxy:3128"},
        {
            "image inspect --format {{.Architecture}} {{json .Config.Volumes}} postgres:17": Answer("amd64 null\n"),
            "image inspect": NOT_HERE,
            "manifest inspect": Answer(INDEX),
        },
    )
    facts = images.gather(needs(services=SERVICES), engine)
    assert facts == ImageFacts(
        architecture="amd64",
        present={PG: "amd64"},
        volumes={PG: ()},
        remote={WEB: Remote("there", architectures=("amd64", "arm64"))},
        pulls_elsewhere=True,
    )
    assert [command for command in engine.asked if command.startswith("manifest")] == [f"manifest inspect {WEB}"]


def test_gather_reads_what_images_declare_as_volumes() -> None:
    answers = {
        "image inspect": Answer('amd64 {"/data":{},"/cache":{}}\n'),
        f"image inspect --format {{{{.Architecture}}}} {{{{json .Config.Volumes}}}} {PG}": Answer("amd64 <no value>\n"),
    }
    facts = images.gather(needs(services=SERVICES), ScriptedEngine({}, answers))
    assert facts.volumes == {WEB: ("/cache", "/data"), PG: ()}


def test_data_that_nothing_is_mounted_for_are_told() -> None:
    services = (
        ServiceNeed("web", WEB, mounted=("/data/",)),
        ServiceNeed("worker", WEB, mounted=("/", "/data/deep")),
        ServiceNeed("once", WEB),
    )
    facts = ImageFacts(present={WEB: ""}, volumes={WEB: ("/data",)})
    assert lines(images.judge(facts, needs(services=services))) == [
        ("ok", "1 of 1 here", ""),
        (
            "warning",
            "worker: its image keeps data at /data, and no volume of the app file is mounted there: "
            "what is written there is gone when the container is replaced",
            "mount a volume at that very path, or list it under `tmpfs` if nothing there must stay",
        ),
    ]


@pytest.mark.parametrize("stack", [{"pull": "never", "services": SERVICES}, {"services": BUILT}])
def test_gather_does_not_ask_for_what_is_never_pulled(stack: dict[str, Any]) -> None:
    engine = ScriptedEngine(
        {},
        {
            "image inspect --format {{.Architecture}} {{json .Config.Volumes}} postgres:17": Answer("amd64 null\n"),
            "image inspect": NOT_HERE,
        },
    )
    assert images.gather(needs(**stack), engine).remote == {}


def test_gather_speaks_plainly_to_registries_that_the_engine_speaks_plainly_to() -> None:
    local = "registry.lan:5000/web"
    info = {"RegistryConfig": {"IndexConfigs": {"registry.lan:5000": {"Secure": False}, "docker.io": {}}}}
    plain = Answer(error="http: server gave HTTP response to HTTPS client", status=1)
    answers = {"image inspect": NOT_HERE, "manifest inspect": plain, "manifest inspect --insecure": Answer(INDEX)}
    stack = needs(services=(ServiceNeed("web", local),))
    assert images.gather(stack, ScriptedEngine(info, answers)).remote[local].state == "there"
    assert images.gather(stack, ScriptedEngine({}, answers)).remote[local].state == "unknown"


def test_gather_does_not_take_silence_for_absence() -> None:
    silent = Answer(error="`docker image inspect` did not finish within 5 seconds", status=-1)
    facts = images.gather(needs(services=SERVICES), ScriptedEngine(answers={"image inspect": silent}))
    assert facts == ImageFacts(error="`docker image inspect` did not finish within 5 seconds")
    assert images.gather(needs(), ScriptedEngine(error="gone")) == ImageFacts(engine_answers=False)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"Architecture": "riscv64"}, ImageFacts(architecture="riscv64")),
        ({"HttpProxy": "http://proxy:3128"}, ImageFacts(pulls_elsewhere=True)),
        ({"RegistryConfig": {"Mirrors": ["https://mirror.lan"]}}, ImageFacts(pulls_elsewhere=True)),
        ({"RegistryConfig": {"Mirrors": None}}, ImageFacts()),
    ],
)
def test_gather_knows_the_engines_ways(info: dict[str, Any], expected: ImageFacts) -> None:
    assert images.gather(needs(services=()), ScriptedEngine(info)) == expected
