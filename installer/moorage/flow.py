"""The whole program on one page: what was written → what is true → files → the world."""

from __future__ import annotations

import hashlib
import secrets as random_source
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moorage.app.adoption import adopt
from moorage.app.compose_file import find_compose_file, read_app, read_extension
from moorage.app.extension import AppExtension
from moorage.app.model import App
from moorage.app.variables import env_problems, secret_needs, used_names, variable_values
from moorage.assets import asset, builtin_apps
from moorage.config import authority
from moorage.config.loading import (
    LoadedConfig,
    environment_names,
    environment_problem,
    is_builtin_name,
    load_config,
    load_document,
)
from moorage.config.secrets import RECOVERY_KEY_FILE, RandomBytes, SecretNeed, SecretStore, SecretValues
from moorage.errors import InputError, Problem
from moorage.formats import Document, read_yaml
from moorage.sensitive import Sensitive
from moorage.stack.build import build_stack, platform_values
from moorage.stack.model import Stack
from moorage.stack.platform import edge as edge_platform
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.targets.base import Rendering
from moorage.words import nearest

if TYPE_CHECKING:
    from moorage.targets.compose.facts import StackFacts


@dataclass(frozen=True)
class Deployment:
    """A deployment folder seen for one environment, fully read and without problems."""

    folder: Path
    environment: str
    stack: Stack
    secrets: SecretValues
    app: App
    loaded: LoadedConfig
    source_folder: Path
    warnings: tuple[str, ...] = ()

    @property
    def rendered_folder(self) -> Path:
        """`rendered/<environment>/`."""
        return self.folder / "rendered" / self.environment

    @property
    def private_folder(self) -> Path:
        """`secrets/<environment>/compose/`: derived files with secrets."""
        return self.folder / "secrets" / self.environment / "compose"


@dataclass
class _Reading:
    """One pass over both files."""

    problems: list[Problem] = field(default_factory=list)
    stack: Stack | None = None
    app: App | None = None


def open_deployment(
    folder: Path,
    environment: str = "",
    *,
    document: Document | None = None,
    given: Mapping[str, Sensitive] | None = None,
    write_secrets: bool = False,
    may_lack_secrets: bool = False,
    random_bytes: RandomBytes = random_source.token_bytes,
    now: datetime | None = None,
) -> Deployment:
    """Read config, app and secrets and build the stack.

    Raises InputError with every problem of both files before anything is written. With `write_secrets`
    missing secrets are made once and kept; without, they are stand-ins for a check. `document` is read
    instead of moorage.yaml and `given` are secrets that are not kept yet: `init` tries both before it writes,
    and with `may_lack_secrets` it leaves those that only the operator knows for later.
    """
    document = document or load_document(folder)
    environment = environment or environment_names(document)[0]
    unknown = environment_problem(document, environment)
    if unknown is not None:
        raise InputError([unknown])
    loaded, problems = load_config(document, environment)
    if loaded is None:
        raise InputError(problems)
    source, app_folder, found = _open_app(loaded, folder)
    problems.extend(found)
    if source is None:
        raise InputError(problems)
    extension, _ = read_extension(source, app_folder)
    store = SecretStore(folder, environment, random_bytes, given or {})
    needs = _secret_needs(extension, loaded)
    secrets = store.resolve(needs, write=False)
    reading = _read(loaded, folder, source, app_folder, secrets, store)
    missing = [] if may_lack_secrets else _missing_secrets(secrets, loaded)
    problems.extend(_not_following(problems, [*missing, *reading.problems, *_certificate_problems(loaded, folder)]))
    if problems:
        raise InputError(problems)
    warnings: tuple[str, ...] = ()
    if write_secrets:
        is_first = not (store.folder / RECOVERY_KEY_FILE).exists()
        made = store.resolve(needs, write=True)
        changed, warnings = _ensure_authority(loaded, folder, now or datetime.now(timezone.utc))
        if is_first or changed or secrets.generated:
            secrets = made
            reading = _read(loaded, folder, source, app_folder, secrets, store)
    assert reading.stack is not None
    assert reading.app is not None
    base = loaded.config.images.source
    sources = (folder / base).resolve() if base else app_folder.resolve()
    return Deployment(folder, environment, reading.stack, secrets, reading.app, loaded, sources, warnings)


def _not_following(first: list[Problem], later: list[Problem]) -> list[Problem]:
    """Those of the later problems that are not mere consequences of an earlier one.

    A wrong value is read as its default, so what follows from the default is not the operator's mistake.
    """
    keys = {problem.key for problem in first}
    modes = {key.rpartition(".")[0] for key in keys if key.endswith(".mode")}
    return [
        problem
        for problem in later
        if problem.key.rpartition(".")[0] not in modes
        and not any(key == problem.key or key.startswith((f"{problem.key}[", f"{problem.key}.")) for key in keys)
    ]


def validate(folder: Path) -> tuple[Deployment, ...]:
    """All environments, read and built. Raises InputError with the problems of all of them together."""
    document = load_document(folder)
    deployments: list[Deployment] = []
    problems: list[Problem] = []
    for environment in environment_names(document):
        try:
            deployments.append(open_deployment(folder, environment))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    return tuple(deployments)


def render(stack: Stack) -> Rendering:
    """The files of a stack, for its target."""
    from moorage.targets.compose.render import render as render_compose

    return render_compose(stack)


def chosen_environment(folder: Path, environment: str = "") -> str:
    """The environment that is meant: the named one, or the default. Raises InputError for an unknown name."""
    document = load_document(folder)
    chosen = environment or environment_names(document)[0]
    unknown = environment_problem(document, chosen)
    if unknown is not None:
        raise InputError([unknown])
    return chosen


def names_of_environments(folder: Path) -> tuple[str, ...]:
    """All environments of a deployment folder, the default first."""
    return environment_names(load_document(folder))


def secret_needs_of(folder: Path, environment: str) -> list[SecretNeed]:
    """The secrets that an environment uses, in the order of the app's file."""
    document = load_document(folder)
    loaded, problems = load_config(document, environment)
    if loaded is None:
        raise InputError(problems)
    source, app_folder, found = _open_app(loaded, folder)
    if source is None:
        raise InputError(found)
    extension, _ = read_extension(source, app_folder)
    return _secret_needs(extension, loaded)


def facts_of_stack(stack: Stack) -> StackFacts:
    """What the deployer will be told of a stack."""
    import json

    from moorage.targets.compose.facts import read_facts
    from moorage.targets.compose.names import FACTS_FILE

    return read_facts(json.loads(render(stack).public.files[FACTS_FILE].content))


def _open_app(loaded: LoadedConfig, folder: Path) -> tuple[Document | None, Path, list[Problem]]:
    """The app's Compose file and its folder."""
    name = loaded.config.app
    if is_builtin_name(name):
        if name in builtin_apps():
            place = asset("compose", "apps", name)
            return read_yaml(place / "compose.yaml", f"{name}/compose.yaml"), place, []
        if not (folder / name).exists():
            hint = f"built-in apps: {', '.join(builtin_apps())}; or a path such as ./compose.yaml"
            rule = "is neither a built-in app nor a file"
            return (
                None,
                folder,
                [loaded.problem(("app",), rule, value=name, suggestion=nearest(name, builtin_apps()), hint=hint)],
            )
    file = find_compose_file(folder / name)
    if file is None:
        rule = "the Compose file does not exist"
        return (
            None,
            folder,
            [loaded.problem(("app",), rule, value=name, hint="the path starts at the folder of moorage.yaml")],
        )
    shown = (name if (folder / name).is_file() else f"{name.rstrip('/')}/{file.name}").removeprefix("./")
    return read_yaml(file, shown), file.parent, []


def _secret_needs(extension: AppExtension, loaded: LoadedConfig) -> list[SecretNeed]:
    config = loaded.config
    needs = [*secret_needs(extension, loaded), *edge_platform.needs(loaded)]
    needs += (
        postgres_platform.external_needs(extension)
        if config.postgres.mode == "external"
        else postgres_platform.needs(extension)
    )
    needs += (
        redis_platform.external_needs(extension) if config.redis.mode == "external" else redis_platform.needs(extension)
    )
    return needs


def _read(
    loaded: LoadedConfig, folder: Path, source: Document, app_folder: Path, secrets: SecretValues, store: SecretStore
) -> _Reading:
    reading = _Reading()
    extension, reader = read_extension(source, app_folder)
    builtin = is_builtin_name(loaded.config.app) and loaded.config.app in builtin_apps()
    platform = {
        **platform_values(loaded),
        **postgres_platform.values(extension, loaded, secrets.values),
        **redis_platform.values(extension, loaded, secrets.values),
    }
    values = variable_values(extension, loaded, platform, _known_secrets(secrets), reader)
    used = used_names(source.value)
    reading.problems.extend(reader.problems)
    reading.problems.extend(env_problems(extension, loaded, builtin=builtin, used=used))
    app = read_app(
        loaded.config.app,
        source,
        app_folder,
        values,
        frozenset({*loaded.config.secrets, *secrets.values}),
        allowed_host_paths=loaded.config.permissions.host_paths,
        allowed_privileges=loaded.config.permissions.privileged,
        adoptable=_adoptable(loaded, extension),
    )
    app.builtin = builtin
    adoption = adopt(app, loaded.config.postgres.version, loaded.config.redis.version, loaded.config.target)
    known = set(reader.problems)
    reading.problems.extend(problem for problem in app.problems if problem not in known)
    stack, problems = build_stack(
        loaded,
        app,
        adoption,
        secrets,
        override=_override(folder),
        certificate_digest=authority.digest(*_certificate_files(loaded, folder)),
        revision_key=_revision_key(store),
    )
    reading.problems.extend(problems)
    reading.app = app
    reading.stack = stack
    return reading


def _adoptable(loaded: LoadedConfig, extension: AppExtension) -> frozenset[str]:
    """The kinds of databases that moorage runs in the place of the app's own."""
    postgres, redis, requires = loaded.config.postgres, loaded.config.redis, extension.requires
    wanted = {
        "postgres": postgres.adopt and postgres.mode == "bundled" and requires.postgres is None,
        "redis": redis.adopt and redis.mode == "bundled" and requires.redis is None,
    }
    return frozenset(kind for kind, adopt_it in wanted.items() if adopt_it)


def _known_secrets(secrets: SecretValues) -> dict[str, Sensitive]:
    """Secrets with their values. Optional ones that nobody set are empty; required ones are reported elsewhere."""
    return {**{need.name: Sensitive("") for need in secrets.missing}, **secrets.values}


def _missing_secrets(secrets: SecretValues, loaded: LoadedConfig) -> list[Problem]:
    return [
        loaded.problem(
            ("secrets",), f"the secret {need.name} has no value ({need.why})", hint=f"`moorage secrets set {need.name}`"
        )
        for need in secrets.missing
        if not need.optional
    ]


def _certificate_files(loaded: LoadedConfig, folder: Path) -> tuple[Path, ...]:
    """The certificate and key that Traefik mounts, if it does."""
    tls = loaded.config.tls
    if tls.mode == "internal-ca":
        files = authority.AuthorityFiles(folder / "secrets" / loaded.environment / "tls")
        return files.certificate, files.key
    return tuple(folder / name for name in (tls.certificate, tls.key) if name) if tls.mode == "files" else ()


def _certificate_problems(loaded: LoadedConfig, folder: Path) -> list[Problem]:
    """Files that `tls` names and that are not there."""
    tls = loaded.config.tls
    named = {"certificate": tls.certificate, "key": tls.key} if tls.mode == "files" else {}
    if tls.mode == "letsencrypt":
        named["acme_ca_file"] = tls.acme_ca_file
    return [
        loaded.problem(
            ("tls", key), "the file does not exist", value=name, hint="the path starts at the folder of moorage.yaml"
        )
        for key, name in named.items()
        if name and not (folder / name).is_file()
    ]


def _ensure_authority(loaded: LoadedConfig, folder: Path, now: datetime) -> tuple[bool, tuple[str, ...]]:
    """Make or renew the certificate of a deployment with its own authority: whether it changed, what to tell."""
    if loaded.config.tls.mode != "internal-ca":
        return False, ()
    before = authority.digest(*_certificate_files(loaded, folder))
    domain = loaded.config.domain.name
    told = authority.ensure(folder / "secrets" / loaded.environment / "tls", domain, (domain, f"*.{domain}"), now)
    return authority.digest(*_certificate_files(loaded, folder)) != before, told


def _override(folder: Path) -> dict[str, Any] | None:
    file = folder / "overrides" / "compose.yaml"
    if not file.is_file():
        return None
    content = read_yaml(file, "overrides/compose.yaml").value
    return content if isinstance(content, dict) else {}


def _revision_key(store: SecretStore) -> Sensitive:
    """A key for fingerprints in rendered files; follows from the recovery key, says nothing of it."""
    key = store.recovery_key(write=False)
    return Sensitive(hashlib.sha256(b"moorage revisions\0" + key.reveal().encode()).hexdigest())
