"""Images: every one is here, is built here, or can be had from its registry for this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from moorage.checks.asking import Answer, Engine, EngineView, engine_silent
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.unkept import UNKEPT_FIX, unkept_folders, unkept_text

NAME = "images"
_KEY = ("images",)
_AT_ONCE = 8

# What `uname -m` and Docker's info call them → what images are labelled with.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}

RemoteState = Literal["not asked", "there", "missing", "refused", "unreachable", "unknown"]


@dataclass(frozen=True)
class Remote:
    """What the registry says of an image; `architectures` is empty when it has only one or doesn't say."""

    state: RemoteState = "not asked"
    detail: str = ""
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageFacts:
    """`present` maps the references that are here to their architecture; `remote` holds those that were asked for.

    `volumes` maps those that are here to the folders that they declare as volumes.
    """

    engine_answers: bool = True
    error: str = ""
    architecture: str = ""
    present: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remote: Mapping[str, Remote] = field(default_factory=dict)
    pulls_elsewhere: bool = False


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look for the images and judge."""
    return judge(gather(needs, engine), needs)


def gather(needs: Needs, engine: Engine) -> ImageFacts:
    """Ask the engine what is here, and the registries, all at once, for what is not. Pulls nothing."""
    view = engine.view()
    if not view.answers:
        return ImageFacts(engine_answers=False)
    present, volumes, error = _present(_references(needs), engine)
    if error:
        return ImageFacts(error=error)
    missing = [name for name in _references(needs) if name not in present and name not in _built(needs)]
    if needs.pull == "never":
        missing = []
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = list(pool.map(lambda name: _remote(name, engine), missing))
    return ImageFacts(
        architecture=_ARCHITECTURES.get(str(view.info.get("Architecture")), str(view.info.get("Architecture") or "")),
        present=present,
        volumes=volumes,
        remote=dict(zip(missing, answers, strict=True)),
        pulls_elsewhere=_pulls_elsewhere(view),
    )


def judge(facts: ImageFacts, needs: Needs) -> tuple[Finding, ...]:
    """A line for every image that cannot be had, or one for all."""
    if not facts.engine_answers:
        return (engine_silent(NAME),)
    if facts.error:
        return (warning(NAME, f"which images are here is not known: {facts.error}", "`docker image ls` must work"),)
    problems = tuple(finding for name in _references(needs) for finding in _image(name, facts, needs))
    if problems:
        return (*problems, *_unkept(facts, needs))
    total = len(_references(needs))
    here = sum(name in facts.present for name in _references(needs))
    built = sum(name in _built(needs) and name not in facts.present for name in _references(needs))
    parts = [f"{here} of {total} here"] + ([f"{built} to be built"] if built else [])
    parts += [f"{total - here - built} to be pulled"] if total - here - built else []
    return (ok(NAME, ", ".join(parts)), *_unkept(facts, needs))


def registry_of(reference: str) -> str:
    """The host that an image comes from: `ghcr.io/acme/web:1` → `ghcr.io`, `nginx` → `docker.io`."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def read_remote(answer: Answer) -> Remote:
    """What `docker manifest inspect` said."""
    if answer.is_good:
        return Remote("there", architectures=_architectures(answer.output))
    # The client wraps the reason in the steps that led there and the address that it asked.
    text = answer.error.rpartition('": ')[2]
    lowered = answer.error.lower()
    if "no such manifest" in lowered or "manifest unknown" in lowered or "name unknown" in lowered:
        return Remote("missing", text)
    # Docker Hub answers so to tokens that may pull, but that this command's older scope is not granted to.
    if "insufficient scopes" in lowered or "toomanyrequests" in lowered or "too many requests" in lowered:
        return Remote("unknown", text)
    if "unauthorized" in lowered or "denied" in lowered or "forbidden" in lowered:
        return Remote("refused", text)
    if "dial tcp" in lowered or "dial udp" in lowered:
        return Remote("unreachable", text)
    return Remote("unknown", text)


def _unkept(facts: ImageFacts, needs: Needs) -> Iterator[Finding]:
    for service in needs.services:
        if service.mounted is not None:
            folders = unkept_folders(facts.volumes.get(service.image, ()), service.mounted)
            if folders:
                yield warning(NAME, unkept_text(service.name, folders), UNKEPT_FIX)


def _references(needs: Needs) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.image for item in (*needs.services, *needs.app_images)))


def _built(needs: Needs) -> frozenset[str]:
    return frozenset(item.image for item in (*needs.services, *needs.app_images) if item.builds)


def _image(name: str, facts: ImageFacts, needs: Needs) -> Iterator[Finding]:
    if name in facts.present:
        found = facts.present[name]
        if found and facts.architecture and found != facts.architecture:
            text = f"{name} is here for {found}, this host is {facts.architecture}"
            yield warning(NAME, text, f"`docker pull --platform linux/{facts.architecture} {name}`", _KEY)
        return
    if name in _built(needs):
        return
    if needs.pull == "never":
        fix = f"`docker pull {name}`, or `docker load -i FILE`, or `images.pull: missing`"
        yield failure(NAME, f"{name} is not here, and `images.pull` is never", fix, ("images", "pull"))
        return
    yield from _not_here(name, facts.remote.get(name, Remote("unknown", "it was not asked for")), facts)


def _not_here(name: str, remote: Remote, facts: ImageFacts) -> Iterator[Finding]:
    registry = registry_of(name)
    if remote.state == "there":
        if remote.architectures and facts.architecture not in remote.architectures:
            text = f"{name} does not exist for {facts.architecture}, only for {', '.join(remote.architectures)}"
            yield failure(NAME, text, "another version or image under `images`, or a server of that kind", _KEY)
    elif remote.state == "missing":
        text = f"{registry} does not have {name}"
        yield failure(NAME, text, "correct `images.tag` or `images.registry`, or push the image first", _KEY)
    elif remote.state == "refused":
        text = f"{registry} does not give {name} to this host: it is private, or does not exist"
        yield failure(NAME, text, f"{_login(registry)}, or correct `images.tag` or `images.registry`", _KEY)
    elif remote.state == "unreachable" and not facts.pulls_elsewhere:
        text = f"{name} is not here, and {registry} cannot be reached: {remote.detail}"
        fix = f"open the way to {registry} (name server, firewall, proxy), or `docker load -i FILE`"
        yield failure(NAME, text, fix, _KEY)
    else:
        text = f"{name} is not here; whether {registry} has it could not be found out: {remote.detail}"
        yield warning(NAME, text, f"`docker pull {name}` must work", _KEY)


def _login(registry: str) -> str:
    return "`docker login`" if registry == "docker.io" else f"`docker login {registry}`"


def _present(names: Sequence[str], engine: Engine) -> tuple[dict[str, str], dict[str, tuple[str, ...]], str]:
    """Reference → architecture, and → declared volumes, of those that are here, and why that is not known."""
    if not names:
        return {}, {}, ""
    ask = partial(engine.ask, "image", "inspect", "--format", "{{.Architecture}} {{json .Config.Volumes}}")
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        answers = list(pool.map(ask, names))
    unclear = [item.error for item in answers if item.error and "no such image" not in item.error.lower()]
    here = [(name, item.output.partition(" ")) for name, item in zip(names, answers, strict=True) if item.is_good]
    architectures = {name: architecture.strip() for name, (architecture, _, _) in here}
    volumes = {name: _declared(text) for name, (_, _, text) in here}
    return architectures, volumes, unclear[0] if unclear else ""


def _declared(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(json.loads(text) or ()))
    except (ValueError, TypeError):
        return ()


def _remote(name: str, engine: Engine) -> Remote:
    answer = engine.ask("manifest", "inspect", name)
    if "server gave HTTP response to HTTPS client" in answer.error and registry_of(name) in _plain(engine.view()):
        answer = engine.ask("manifest", "inspect", "--insecure", name)
    return read_remote(answer)


def _plain(view: EngineView) -> frozenset[str]:
    """Registries that the engine itself talks to without TLS."""
    configs: Mapping[str, Any] = (view.info.get("RegistryConfig") or {}).get("IndexConfigs") or {}
    return frozenset(name for name, config in configs.items() if not config.get("Secure", True))


def _pulls_elsewhere(view: EngineView) -> bool:
    """Whether the engine pulls by a proxy or a mirror, so that what the client can't reach says little."""
    mirrors = (view.info.get("RegistryConfig") or {}).get("Mirrors")
    return bool(mirrors or view.info.get("HttpProxy") or view.info.get("HttpsProxy"))


def _architectures(text: str) -> tuple[str, ...]:
    try:
        manifests = json.loads(text).get("manifests") or ()
        found = {str(item["platform"]["architecture"]) for item in manifests if item.get("platform")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(sorted(found - {"unknown"}))
