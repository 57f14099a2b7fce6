"""`moorage init`: few questions, a commented moorage.yaml, the secrets. Tries everything before it writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moorage import flow
from moorage.answers import Answers, answers_from_file, ask_valid, asked, merged, permissions
from moorage.app.model import App
from moorage.app.notices import for_people
from moorage.carrying import Inferred
from moorage.config import rules
from moorage.config.loading import CONFIG_FILE
from moorage.config.secrets import SecretStore
from moorage.console import Console
from moorage.errors import InputError, Place, Problem
from moorage.formats import dump_scalar, parse_yaml
from moorage.host_facts import HostFacts, host_facts
from moorage.inference import infer
from moorage.operations.secret_keeping import RECOVERY_TEXT
from moorage.quantities import GIBIBYTE, format_size
from moorage.templating import render_template
from moorage.tiers import Tier, tiers
from moorage.words import listed, plural

_FILE_HINT = f"{CONFIG_FILE} is here the file that init would have written"


def initialise(
    folder: Path, console: Console, given: Answers, *, answers_file: Path | None, ask: bool, dry_run: bool
) -> None:
    """Write moorage.yaml and make the secrets. Raises InputError before anything is written."""
    if (folder / CONFIG_FILE).exists():
        raise InputError(
            [Problem(Place(CONFIG_FILE), "", "exists already, and init never overwrites")],
            "edit it and run `moorage validate`, or choose another folder with -C",
        )
    answers = merged(given, answers_from_file(answers_file) if answers_file else Answers())
    answers = asked(folder, console, answers, ask=ask and console.is_interactive())
    inferred = infer(folder, answers.app or "", answers.routes)
    chosen = _with_route(folder, console, answers, inferred, ask=ask and console.is_interactive())
    if chosen is not answers:
        answers, inferred = chosen, infer(folder, chosen.app or "", chosen.routes)
    host = host_facts()
    text = _config_text(answers, inferred, host)
    try:
        deployment = _tried(folder, text, inferred)
    except InputError as error:
        raise InputError(error.problems, _hint(error.problems)) from None
    fitting = _fitting_tiers(folder, console, answers, inferred, host)
    text = _config_text(answers, inferred, host, fitting)
    if dry_run:
        console.line(text.rstrip("\n"))
        return
    _write(folder, text, deployment, inferred)
    _report(folder, console, deployment, inferred)


def _hint(problems: Sequence[Problem]) -> str:
    """What to do with settings that the problems tell to write, while there is no moorage.yaml yet."""
    told = " ".join(f"{problem.rule} {problem.hint}" for problem in problems)
    hints = [_FILE_HINT]
    if "under `env`" in told:
        hints.append("what belongs under its `env` is taken from a .env beside the Compose file")
    if "`permissions." in told:
        hints.append("`--permit docker_access=SERVICE`, `privileged=SERVICE` or `host_paths=PATH` writes a permission")
    return "\n".join(hints)


def _with_route(folder: Path, console: Console, answers: Answers, inferred: Inferred, *, ask: bool) -> Answers:
    """Which port of a foreign file is the site, when that is not clear. Raises InputError when nobody can be asked.

    What else is wrong with the file is told first: an answer would be lost with it.
    """
    if not inferred.needs_route:
        return answers
    shown = [f"{service}:{port}" for service, port in inferred.candidates]
    others = _other_problems(folder, answers, inferred)
    if others or not ask:
        raise InputError([_route_problem(shown, inferred.likely_services), *others], _hint(others) if others else "")
    question = "Which service and port is the site?" + (f" {', '.join(shown)}" if shown else " SERVICE:PORT")
    answer = ask_valid(console, question, lambda text: _route_rule(text, inferred), shown[0] if shown else "")
    return replace(answers, routes=(answer,))


def _route_problem(shown: list[str], services: list[str]) -> Problem:
    place = Place("moorage init")
    if shown:
        return Problem(place, "--route", f"is needed: the site could be {listed(shown)}", hint=f"--route {shown[0]}")
    rule = "is needed: the file publishes no port that could be the site"
    example = services[0] if services else "SERVICE"
    hint = f"name the service and the port inside its container, for instance `--route {example}:80`"
    return Problem(place, "--route", rule, hint=hint)


def _route_rule(text: str, inferred: Inferred) -> str:
    """An answer as a route. Raises ValueError with the rule."""
    service, separator, port = text.rpartition("=")[2].partition(":")
    if service not in inferred.likely_services or not separator:
        raise ValueError(f"must be SERVICE:PORT, where the service is {listed(inferred.likely_services)}")
    rules.port(port)
    return text


def _other_problems(folder: Path, answers: Answers, inferred: Inferred) -> list[Problem]:
    """What is wrong with the file besides the missing route."""
    try:
        _tried(folder, _config_text(answers, inferred, host_facts()), inferred)
    except InputError as error:
        return [problem for problem in error.problems if problem.key != "routes"]
    return []


def _tried(folder: Path, text: str, inferred: Inferred, environment: str = "") -> flow.Deployment:
    """The deployment that a moorage.yaml would make, before it is written."""
    document = parse_yaml(text, CONFIG_FILE)
    given = inferred.secret_values
    return flow.open_deployment(folder, environment, document=document, given=given, may_lack_secrets=True)


def _fitting_tiers(
    folder: Path, console: Console, answers: Answers, inferred: Inferred, host: HostFacts
) -> tuple[Tier, ...]:
    """The other environments that this app can be run in as it is; why it can't be run in the rest is told."""
    all_tiers = tiers(
        name=answers.name or "", domain=answers.domain or "", target=answers.target or "compose", tls=answers.tls or ""
    )
    found = []
    for tier in all_tiers:
        try:
            _tried(folder, _config_text(answers, inferred, host, (tier,)), inferred, tier.name)
        except InputError as error:
            console.warning(f"the environment {tier.name} is left out: {error.problems[0].rule}")
        else:
            found.append(tier)
    return tuple(found)


def _config_text(answers: Answers, inferred: Inferred, host: HostFacts, others: tuple[Tier, ...] = ()) -> str:
    """moorage.yaml; every value is written so that YAML reads it as it is meant."""
    challenge = answers.challenge or ("cloudflare-dns" if inferred.wildcard else "http")
    is_public = answers.tls == "letsencrypt"
    routes: dict[str, list[str]] = {}
    for item in inferred.routes:
        host_name = f", host: {dump_scalar(item.host)}" if item.host else ""
        routes.setdefault(dump_scalar(item.service), []).append(f"{{port: {item.port}{host_name}}}")
    view = {
        "name": dump_scalar(answers.name or ""),
        "app": dump_scalar(answers.app or ""),
        "domain": dump_scalar(answers.domain or ""),
        "wildcard": bool(answers.wildcard) or inferred.wildcard,
        "target": dump_scalar(answers.target or "compose"),
        "tls_mode": dump_scalar(answers.tls or ""),
        "is_public": is_public,
        "email": dump_scalar(answers.email) if answers.email and is_public else "",
        "challenge": dump_scalar(challenge) if is_public and challenge != "http" else "",
        "source": dump_scalar(answers.source) if answers.source else "",
        "registry": dump_scalar(answers.registry) if answers.registry else "",
        "env": [
            {"name": dump_scalar(name), "value": dump_scalar(value)}
            for name, value in {**inferred.env, **answers.env}.items()
        ],
        "secrets": [dump_scalar(name) for name in inferred.secret_names],
        "routes": [
            {"service": service, "setting": settings[0] if len(settings) == 1 else f"[{', '.join(settings)}]"}
            for service, settings in routes.items()
        ],
        "comments": inferred.comments,
        "permissions": [
            {"kind": kind, "names": [dump_scalar(value) for value in values]}
            for kind, values in permissions(answers).items()
        ],
        "host_memory": dump_scalar(answers.memory or format_size(host.memory)),
        "host_cpus": answers.cpus or host.cpus,
        "host_disk": host.disk,
        "host_disk_size": format_size(host.disk_size // GIBIBYTE * GIBIBYTE) if host.disk_size >= GIBIBYTE else "",
        "logs_total": "2Gi",
        "tiers": others,
        "schema": "",
    }
    return render_template("config/moorage.yaml.j2", view)


def _write(folder: Path, text: str, deployment: flow.Deployment, inferred: Inferred) -> None:
    """Secrets first: a moorage.yaml without them would be taken for a finished one."""
    folder.mkdir(parents=True, exist_ok=True)
    store = SecretStore(folder, deployment.environment)
    for name, value in inferred.secret_values.items():
        if store.read(name) is None:
            store.replace(name, value)
    _complete_ignored(folder / ".gitignore", ("/secrets/", "/releases/", "/backups/"))
    if _is_built_from(folder, deployment):
        # What Docker is not told to leave out, `COPY . .` puts into the app's image.
        _complete_ignored(folder / ".dockerignore", ("/secrets/", "/releases/", "/backups/", "/rendered/"))
    flow.open_deployment(folder, document=parse_yaml(text, CONFIG_FILE), write_secrets=True, may_lack_secrets=True)
    temporary = folder / f".{CONFIG_FILE}.new"
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # A hard link fails when somebody was quicker; a rename would overwrite.
        (folder / CONFIG_FILE).hardlink_to(temporary)
    except FileExistsError:
        raise InputError([Problem(Place(CONFIG_FILE), "", "exists already, and init never overwrites")]) from None
    finally:
        temporary.unlink(missing_ok=True)


def _is_built_from(folder: Path, deployment: flow.Deployment) -> bool:
    """Whether an image of the app is made of the deployment's own folder."""
    builds = [service.image.build for service in deployment.stack.services if service.image.build]
    return any((deployment.source_folder / build.context).resolve() == folder.resolve() for build in builds)


def _complete_ignored(file: Path, lines: tuple[str, ...]) -> None:
    """Keep what is secret or large out of git or of an image, whether somebody thought of it already or not."""
    present = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    missing = [line for line in lines if line not in present]
    if missing:
        with file.open("a", encoding="utf-8") as stream:
            stream.write("\n".join(([""] if present and present[-1] else []) + missing) + "\n")


def _report(folder: Path, console: Console, deployment: flow.Deployment, inferred: Inferred) -> None:
    app: App = deployment.app
    for notice in for_people((*inferred.notices, *deployment.stack.notices), with_minor=console.verbose):
        console.warning(f"{notice.subject}: {notice.text}")
    console.success(f"{folder / CONFIG_FILE} written for {app.name} at {deployment.stack.base_url}")
    kept = len(deployment.secrets.generated) + len(inferred.secret_values)
    if kept:
        console.success(f"{plural(kept, 'secret')} kept in {folder / 'secrets'}, readable by you only")
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
