"""What `init` asks: by options, by a file, at the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from moorage.assets import asset, builtin_apps
from moorage.config import rules
from moorage.console import Console
from moorage.errors import InputError, Place, Problem
from moorage.formats import Document, dotted, is_file, read_yaml
from moorage.validation import show_value
from moorage.words import listed, nearest

_TLS_MODES = ("letsencrypt", "internal-ca", "behind-proxy", "off", "files")


@dataclass(frozen=True)
class Answers:
    """What was answered, by options, by a file or at the prompt; None where nothing was."""

    app: str | None = None
    domain: str | None = None
    email: str | None = None
    target: str | None = None
    tls: str | None = None
    name: str | None = None
    wildcard: bool | None = None
    challenge: str | None = None
    source: str | None = None
    registry: str | None = None
    routes: tuple[str, ...] = ()
    permit: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    memory: str | None = None
    cpus: int | None = None


def answers_from_file(path: Path) -> Answers:
    """The answers of a YAML file. Raises InputError for questions that nobody asks and answers of another shape."""
    document = read_yaml(path, path.name)
    content = {} if document.value is None else document.value
    if not isinstance(content, dict):
        raise InputError([Problem(document.place(()), "", "must be a mapping of answers, such as `domain: …`")])
    known = {item.name for item in fields(Answers)}
    problems = [_unknown(document, key, known) for key in content if key not in known]
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known or value is None:
            continue
        try:
            values[key] = _SHAPES.get(key, _text)(value)
        except ValueError as error:
            problems.append(Problem(document.place((key,)), dotted((key,)), str(error), show_value(value)))
    if problems:
        raise InputError(problems)
    return Answers(**values)


def _unknown(document: Document, key: str, known: set[str]) -> Problem:
    place = document.place((key,), of_key=True)
    return Problem(place, dotted((key,)), "is not a question of init", suggestion=nearest(key, known))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise ValueError("must be a text")
    return str(value)


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return tuple(_text(item) for item in value)


def _values(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or any(isinstance(item, (dict, list)) for item in value.values()):
        raise ValueError("must be a mapping of names and values")
    return {name: _value(item) for name, item in value.items()}


def _value(item: object) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    return "" if item is None else str(item)


_SHAPES: dict[str, Callable[[object], Any]] = {
    "wildcard": _yes_or_no,
    "cpus": _count,
    "routes": _texts,
    "permit": _texts,
    "env": _values,
}


def merged(first: Answers, second: Answers) -> Answers:
    """Options win over the file."""
    chosen = {item.name: getattr(first, item.name) or getattr(second, item.name) for item in fields(Answers)}
    return Answers(**chosen)


PERMISSIONS = ("docker_access", "privileged", "host_paths")


def permissions(answers: Answers) -> dict[str, list[str]]:
    """What the app may do to the host, by the keys of `permissions`. Raises InputError for another form."""
    found: dict[str, list[str]] = {}
    for text in answers.permit:
        kind, separator, value = text.partition("=")
        if kind not in PERMISSIONS or not separator or not value:
            rule = f"must be KIND=VALUE, where the kind is {listed(PERMISSIONS)}"
            near = nearest(kind, PERMISSIONS)
            problem = Problem(Place("moorage init"), "--permit", rule, show_value(text), near if near != kind else "")
            raise InputError([problem])
        found.setdefault(kind, []).append(value)
    return found


def asked(folder: Path, console: Console, answers: Answers, *, ask: bool) -> Answers:
    """At most six questions; without a person the defaults, and a problem where there is none."""
    default_app = next(
        (
            f"./{name}"
            for name in ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
            if is_file(folder / name)
        ),
        "notes",
    )
    app = answers.app or (
        console.ask(f"Which app? {listed(builtin_apps())}, or the path of a Compose file", default_app)
        if ask
        else default_app
    )
    domain = answers.domain or (
        ask_valid(console, "Its host name, for instance notes.example.com?", rules.host_name) if ask else None
    )
    if not domain:
        raise InputError([Problem(Place("moorage init"), "--domain", "is required when nobody can be asked")])
    is_local = domain.endswith("localhost")
    tls_default = "internal-ca" if is_local else "letsencrypt"
    question = f"Where does its certificate come from? {', '.join(_TLS_MODES)}"
    tls = answers.tls or (ask_valid(console, question, _tls_mode, tls_default) if ask else tls_default)
    email = answers.email
    if tls == "letsencrypt" and not email and ask:
        email = ask_valid(console, "An e-mail address for the certificate authority?", rules.email)
    source = answers.source
    if ask and not source and not answers.registry and _needs_sources(app):
        source = console.ask(f"Where is the source checkout of {app}? Its images are built from it", f"../{app}")
    name = answers.name or _name_from(domain)
    return replace(
        answers,
        app=app,
        domain=domain,
        tls=tls,
        email=email,
        name=name,
        source=source,
        target=answers.target or "compose",
    )


def _needs_sources(app: str) -> bool:
    """Whether a built-in app's sources are not part of moorage."""
    return app in builtin_apps() and not asset("compose", "apps", app, "Dockerfile").is_file()


def _tls_mode(value: str) -> str:
    if value not in _TLS_MODES:
        raise ValueError(f"must be {listed(_TLS_MODES)}")
    return value


def ask_valid(console: Console, question: str, rule: Callable[[str], str], default: str = "") -> str:
    """Ask until the answer is one: a mistake must not cost the answers before it."""
    while True:
        answer = console.ask(question, default)
        try:
            return rule(answer)
        except ValueError as error:
            console.warning(f"It {error}.")


def _name_from(domain: str) -> str:
    """The first label of the domain, as a deployment name."""
    label = re.sub(r"[^a-z0-9-]", "-", domain.lower().partition(".")[0]).strip("-")
    prefix, rest = ("xn--", label[4:]) if label.startswith("xn--") else ("", label)
    label = prefix + re.sub(r"-{2,}", "-", rest)
    name = label if re.match(r"^[a-z]", label) else f"app-{label}"
    name = name[: rules.LONGEST_NAME].rstrip("-")
    return f"{name}-app" if name in rules.RESERVED_NAMES or name == "www" else name
