"""The whole program on one page: what was written → what is true → files → the world."""

from __future__ import annotations

import hashlib
import secrets as random_source
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.app.adoption import adopt
from moorage.app.compose_file import find_compose_file, read_app, read_extension
from moorage.app.extension import AppExtension
from moorage.app.model import App
from moorage.app.variables import env_problems, optional_secrets, secret_needs, used_names, variable_values
from moorage.assets import asset, builtin_apps
from moorage.config.loading import (
    LoadedConfig,
    environment_names,
    environment_problem,
    is_builtin_name,
    load_config,
    load_document,
)
from moorage.config.secrets import RandomBytes, SecretNeed, SecretStore, SecretValues
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
    write_secrets: bool = False,
    random_bytes: RandomBytes = random_source.token_bytes,
) -> Deployment:
    """Read config, app and secrets and build the stack.

    Raises InputError with every problem of both files before anything is written. With `write_secrets`
    missing secrets are made once and kept; without, they are stand-ins for a check.
    """
    document = load_document(folder)
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
    store = SecretStore(folder, environment, random_bytes)
    needs = _secret_needs(extension, loaded)
    secrets = store.resolve(needs, write=False)
    reading = _read(loaded, folder, source, app_folder, secrets, store)
    problems.extend(reading.problems)
    if problems:
        raise InputError(problems)
    if write_secrets and (secrets.generated or not (store.folder / "recovery.key").exists()):
        secrets = store.resolve(needs, write=True)
        reading = _read(loaded, folder, source, app_folder, secrets, store)
    assert reading.stack is not None
    assert reading.app is not None
    base = loaded.config.images.source
    return Deployment(
        folder,
        environment,
        reading.stack,
        secrets,
        reading.app,
        loaded,
        (folder / base).resolve() if base else app_folder,
    )


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
    return read_yaml(file, name if (folder / name).is_file() else f"{name.rstrip('/')}/{file.name}"), file.parent, []


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
    reading.problems.extend(_missing_secrets(extension, secrets, loaded))
    platform = {
        **platform_values(loaded),
        **postgres_platform.values(extension, loaded, secrets.values),
        **redis_platform.values(extension, loaded, secrets.values),
    }
    values = variable_values(extension, loaded, platform, _known_secrets(extension, secrets), reader)
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
    known = set(reader.problems)
    reading.problems.extend(problem for problem in app.problems if problem not in known)
    adoption = adopt(app, loaded.config.postgres.version, loaded.config.redis.version)
    stack, problems = build_stack(
        loaded, app, adoption, secrets, override=_override(folder), revision_key=_revision_key(store)
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


def _known_secrets(extension: AppExtension, secrets: SecretValues) -> dict[str, Sensitive]:
    """Secrets with their values; optional ones that nobody set are empty."""
    return {**{name: Sensitive("") for name in optional_secrets(extension)}, **secrets.values}


def _missing_secrets(extension: AppExtension, secrets: SecretValues, loaded: LoadedConfig) -> list[Problem]:
    optional = optional_secrets(extension)
    return [
        loaded.problem(
            ("secrets",), f"the secret {need.name} has no value ({need.why})", hint=f"`moorage secrets set {need.name}`"
        )
        for need in secrets.missing
        if need.name not in optional
    ]


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
