"""`moorage init`: few questions, a commented moorage.yaml, the secrets. Tries everything before it writes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from moorage import flow
from moorage.app.model import App
from moorage.assets import asset, builtin_apps
from moorage.config import rules
from moorage.config.loading import CONFIG_FILE
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError, Place, Problem
from moorage.formats import dotted, parse_yaml, read_yaml
from moorage.host_facts import HostFacts, host_facts
from moorage.inference import Inferred, infer
from moorage.operations.secret_keeping import RECOVERY_TEXT
from moorage.quantities import GIBIBYTE, format_size
from moorage.templating import render_template
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
    env: dict[str, str] = field(default_factory=dict)
    memory: str | None = None
    cpus: int | None = None


def initialise(
    folder: Path, console: Console, given: Answers, *, answers_file: Path | None, ask: bool, dry_run: bool
) -> None:
    """Write moorage.yaml and make the secrets. Raises InputError before anything is written."""
    if (folder / CONFIG_FILE).exists():
        raise InputError(
            [Problem(Place(CONFIG_FILE), "", "exists already, and init never overwrites")],
            "edit it and run `moorage validate`, or choose another folder with -C",
        )
    answers = _merged(given, _from_file(answers_file) if answers_file else Answers())
    answers = _asked(folder, console, answers, ask=ask and console.is_interactive())
    inferred = infer(folder, answers.app or "", answers.routes)
    answers = _choose_route(console, answers, inferred, ask=ask and console.is_interactive())
    inferred = infer(folder, answers.app or "", answers.routes)
    text = _config_text(answers, inferred, host_facts())
    document = parse_yaml(text, CONFIG_FILE)
    deployment = flow.open_deployment(folder, document=document, given=inferred.secret_values, may_lack_secrets=True)
    if dry_run:
        console.line(text.rstrip("\n"))
        return
    _write(folder, text, deployment, inferred)
    _report(folder, console, deployment, inferred)


def _from_file(path: Path) -> Answers:
    document = read_yaml(path, path.name)
    content = document.value if isinstance(document.value, dict) else {}
    known = {item.name for item in fields(Answers)}
    problems = [
        Problem(
            document.place((key,), of_key=True),
            dotted((key,)),
            "is not a question of init",
            suggestion=nearest(key, known),
        )
        for key in content
        if key not in known
    ]
    if problems:
        raise InputError(problems)
    values: dict[str, Any] = dict(content)
    values["routes"] = tuple(str(item) for item in values.get("routes") or ())
    values["env"] = {str(name): str(value) for name, value in (values.get("env") or {}).items()}
    return Answers(**values)


def _merged(first: Answers, second: Answers) -> Answers:
    """Options win over the file."""
    chosen = {item.name: getattr(first, item.name) or getattr(second, item.name) for item in fields(Answers)}
    return Answers(**chosen)


def _asked(folder: Path, console: Console, answers: Answers, *, ask: bool) -> Answers:
    """At most six questions; without a person the defaults, and a problem where there is none."""
    default_app = next(
        (
            f"./{name}"
            for name in ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
            if (folder / name).is_file()
        ),
        "notes",
    )
    app = answers.app or (
        console.ask(f"Which app? {listed(builtin_apps())}, or the path of a Compose file", default_app)
        if ask
        else default_app
    )
    domain = answers.domain or (
        _ask_valid(console, "Its host name, for instance notes.example.com?", rules.host_name) if ask else None
    )
    if not domain:
        raise InputError([Problem(Place("moorage init"), "--domain", "is required when nobody can be asked")])
    is_local = domain.endswith("localhost")
    tls_default = "internal-ca" if is_local else "letsencrypt"
    tls = answers.tls or (
        console.ask(f"Where does its certificate come from? {', '.join(_TLS_MODES)}", tls_default)
        if ask
        else tls_default
    )
    email = answers.email
    if tls == "letsencrypt" and not email and ask:
        email = _ask_valid(console, "An e-mail address for the certificate authority?", rules.email)
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


def _ask_valid(console: Console, question: str, rule: Any) -> str:
    while True:
        answer = console.ask(question)
        try:
            return str(rule(answer))
        except ValueError as error:
            console.warning(f"It {error}.")


def _name_from(domain: str) -> str:
    """The first label of the domain, as a deployment name."""
    label = re.sub(r"[^a-z0-9-]", "-", domain.lower().partition(".")[0]).strip("-")
    name = label if re.match(r"^[a-z]", label) else f"app-{label}".rstrip("-")
    return f"{name}-app" if name in rules.RESERVED_NAMES or name == "www" else name


def _choose_route(console: Console, answers: Answers, inferred: Inferred, *, ask: bool) -> Answers:
    """Which port of a foreign file is the site, when there are several."""
    if answers.routes or inferred.routes or not inferred.candidates:
        return answers
    shown = [f"{service}:{port}" for service, port in inferred.candidates]
    if not ask:
        raise InputError(
            [
                Problem(
                    Place("moorage init"),
                    "--route",
                    f"is needed: the site could be {listed(shown)}",
                    hint=f"--route {shown[0]}",
                )
            ]
        )
    answer = console.ask(f"Which port is the site? {', '.join(shown)}", shown[0])
    return replace(answers, routes=(answer,))


def _config_text(answers: Answers, inferred: Inferred, host: HostFacts) -> str:
    """moorage.yaml; every value is serialised as JSON, which YAML reads as it is meant."""
    memory = answers.memory or format_size(host.memory)
    view = {
        "name": json.dumps(answers.name) if not re.fullmatch(r"[a-z][a-z0-9-]*", answers.name or "") else answers.name,
        "app": _plain(answers.app or ""),
        "domain": _plain(answers.domain or ""),
        "wildcard": bool(answers.wildcard) or inferred.wildcard,
        "target": _plain(answers.target or "compose"),
        "tls_mode": _plain(answers.tls or ""),
        "email": _plain(answers.email) if answers.email and answers.tls == "letsencrypt" else "",
        "challenge": answers.challenge
        or ("cloudflare-dns" if inferred.wildcard and answers.tls == "letsencrypt" else "http"),
        "source": _plain(answers.source) if answers.source else "",
        "registry": _plain(answers.registry) if answers.registry else "",
        "env": [
            {"name": name, "value": json.dumps(value, ensure_ascii=False)}
            for name, value in {**inferred.env, **answers.env}.items()
        ],
        "secrets": inferred.secret_names,
        "routes": [
            {"service": item.service, "port": item.port, "host": _plain(item.host) if item.host else ""}
            for item in inferred.routes
        ],
        "comments": inferred.comments,
        "host_memory": memory,
        "host_cpus": answers.cpus or host.cpus,
        "host_disk": host.disk,
        "host_disk_size": format_size(host.disk_size // GIBIBYTE * GIBIBYTE) if host.disk_size >= GIBIBYTE else "",
        "logs_total": "2Gi",
        "schema": "",
    }
    return render_template("config/moorage.yaml.j2", view)


def _plain(text: str) -> str:
    """A bare YAML word where that is safe, else a quoted one."""
    return (
        text
        if re.fullmatch(r"[A-Za-z./][A-Za-z0-9._/@+-]*", text)
        and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
        else json.dumps(text)
    )


def _write(folder: Path, text: str, deployment: flow.Deployment, inferred: Inferred) -> None:
    """Secrets first: a moorage.yaml without them would be taken for a finished one."""
    folder.mkdir(parents=True, exist_ok=True)
    store = SecretStore(folder, deployment.environment)
    for name, value in inferred.secret_values.items():
        if store.read(name) is None:
            store.replace(name, value)
    _write_git_ignore(folder)
    temporary = folder / f".{CONFIG_FILE}.new"
    temporary.write_text(text, encoding="utf-8")
    flow.open_deployment(folder, document=parse_yaml(text, CONFIG_FILE), write_secrets=True, may_lack_secrets=True)
    try:
        # A hard link fails when somebody was quicker; a rename would overwrite.
        (folder / CONFIG_FILE).hardlink_to(temporary)
    except FileExistsError:
        raise InputError([Problem(Place(CONFIG_FILE), "", "exists already, and init never overwrites")]) from None
    finally:
        temporary.unlink(missing_ok=True)


def _write_git_ignore(folder: Path) -> None:
    """Keep secrets out of git, whether the folder is in git already or will be."""
    file = folder / ".gitignore"
    present = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    missing = [line for line in ("/secrets/", "/releases/") if line not in present]
    if missing:
        with file.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(([""] if present and present[-1] else []) + missing) + "\n")


def _report(folder: Path, console: Console, deployment: flow.Deployment, inferred: Inferred) -> None:
    app: App = deployment.app
    for notice in (*inferred.notices, *deployment.stack.notices):
        console.warning(f"{notice.subject}: {notice.text}")
    console.success(f"{folder / CONFIG_FILE} written for {app.name} at {deployment.stack.base_url}")
    made = len(deployment.secrets.generated) + len(inferred.secret_values)
    console.success(f"{made} secrets made in {folder / 'secrets'}, readable by you only")
    if console.is_interactive():
        console.detail(RECOVERY_TEXT)
        console.detail(SecretStore(folder, deployment.environment).recovery_key(write=False).reveal())
    else:
        console.detail(
            "the recovery key is in secrets/recovery.key: `moorage secrets recovery-key` shows it with a text to keep"
        )
    for need in deployment.secrets.missing:
        if not need.optional:
            console.warning(f"still to do: `moorage secrets set {need.name}` ({need.why})")
    where = "" if folder == Path() else f" -C {folder}"
    console.detail(f"next: `moorage{where} check`, `moorage{where} plan`, `moorage{where} up`")
