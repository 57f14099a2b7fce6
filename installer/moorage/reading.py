"""One pass over both files: config and app → stack, with everything that is wrong on the way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moorage.app.adoption import adopt
from moorage.app.components import FOLDER
from moorage.app.compose_file import read_app, read_extension
from moorage.app.environment import names_in_env_files
from moorage.app.extension import AppExtension
from moorage.app.model import App, Notice
from moorage.app.opening import open_compose_file
from moorage.app.variables import env_problems, secret_needs, used_names, variable_values
from moorage.assets import asset, builtin_apps
from moorage.config.loading import LoadedConfig, is_builtin_name
from moorage.config.overrides import override_source, read_override
from moorage.config.secrets import SecretNeed, SecretStore, SecretValues
from moorage.config.tls_files import certificate_digest, certificate_files
from moorage.deployment_folder import deployment_files
from moorage.errors import InputError, Problem
from moorage.formats import Document, is_file, read_yaml
from moorage.sensitive import Sensitive
from moorage.stack.build import build_stack, platform_values
from moorage.stack.cluster import Certificate, ClusterInputs
from moorage.stack.model import Stack
from moorage.stack.platform import backup_rules
from moorage.stack.platform import backups as backups_platform
from moorage.stack.platform import edge as edge_platform
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.words import abridged, nearest


@dataclass(frozen=True)
class AppSource:
    """The app's Compose file as written, and the folder that its paths start at."""

    document: Document
    folder: Path

    @property
    def used(self) -> frozenset[str]:
        """The variables that it uses, in its env files too."""
        content = self.document.value if isinstance(self.document.value, dict) else {}
        return used_names(content) | names_in_env_files(content.get("services"), self.folder)


@dataclass
class Reading:
    """What came of a pass; without a stack when there are problems."""

    problems: list[Problem] = field(default_factory=list)
    stack: Stack | None = None
    app: App | None = None


def open_app(loaded: LoadedConfig, folder: Path) -> AppSource:
    """The app's file. Raises InputError when it is not there or not YAML."""
    name = loaded.config.app
    builtin = is_builtin_name(name)
    if builtin and name in builtin_apps():
        place = asset("compose", "apps", name)
        return AppSource(read_yaml(place / "compose.yaml", f"{name}/compose.yaml"), place)
    opened = open_compose_file(folder, name)
    if opened is not None:
        return AppSource(*opened)
    if builtin and not (folder / name).exists():
        hint = f"built-in apps: {', '.join(builtin_apps())}; or a path such as ./compose.yaml"
        rule = "is neither a built-in app nor a file"
        near = nearest(name, builtin_apps())
        raise InputError([loaded.problem(("app",), rule, value=name, suggestion=near, hint=hint)])
    hint = "the path starts at the folder of moorage.yaml"
    raise InputError([loaded.problem(("app",), "the Compose file does not exist", value=name, hint=hint)])


def needs_of(loaded: LoadedConfig, source: AppSource) -> list[SecretNeed]:
    """The secrets of the app and of the platform services, in the order of the app's file."""
    extension, _ = read_extension(source.document, source.folder)
    postgres, redis = postgres_platform, redis_platform
    is_external = loaded.config.postgres.mode == "external", loaded.config.redis.mode == "external"
    return [
        *secret_needs(extension, loaded),
        *edge_platform.needs(loaded),
        *(postgres.external_needs(extension) if is_external[0] else postgres.needs(extension)),
        *(redis.external_needs(extension) if is_external[1] else redis.needs(extension)),
        *backups_platform.needs(loaded),
    ]


def needs_of_app(loaded: LoadedConfig, source: AppSource) -> list[SecretNeed]:
    """Those of the app alone: what it may have encrypted its data with."""
    return secret_needs(read_extension(source.document, source.folder)[0], loaded)


def read_stack(
    loaded: LoadedConfig, folder: Path, source: AppSource, secrets: SecretValues, store: SecretStore
) -> Reading:
    """The stack that both files mean, or every problem that stands in its way."""
    reading = Reading()
    extension, reader = read_extension(source.document, source.folder)
    builtin = is_builtin_name(loaded.config.app) and loaded.config.app in builtin_apps()
    platform = {
        **platform_values(loaded, extension),
        **postgres_platform.values(extension, loaded, secrets.values),
        **redis_platform.values(extension, loaded, secrets.values),
    }
    values = variable_values(extension, loaded, platform, _known_secrets(secrets), reader)
    override, found = read_override(folder)
    reading.problems.extend(found)
    reading.problems.extend(backup_rules.place_problems(loaded, folder))
    reading.problems.extend(reader.problems)
    reading.problems.extend(env_problems(extension, loaded, builtin=builtin, used=source.used))
    app = read_app(
        loaded.config.app,
        source.document,
        source.folder,
        values,
        frozenset({*loaded.config.secrets, *secrets.values}),
        allowed_host_paths=loaded.config.permissions.host_paths,
        allowed_privileges=loaded.config.permissions.privileged,
        adoptable=_adoptable(loaded, extension),
        components=_component_folders(loaded, source, builtin=builtin),
    )
    app.builtin = builtin
    has_services = bool(app.services)
    adoption = adopt(app, loaded.config.postgres.version, loaded.config.redis.version, loaded.config.target)
    known = set(reader.problems)
    of_app = [problem for problem in app.problems if problem not in known]
    reading.problems.extend(of_app)
    told = [*(problem.key for problem in of_app), *app.unfilled]
    stack, problems = build_stack(
        loaded,
        app,
        adoption,
        secrets,
        override=override,
        override_source=override_source(folder) if override is not None else Sensitive(""),
        certificate_digest=certificate_digest(loaded, folder),
        cluster_inputs=_cluster_inputs(loaded, folder, store, app),
        revision_key=_revision_key(store),
    )
    if has_services:
        reading.problems.extend(problem for problem in problems if not _follows(problem, told))
    reading.app = app
    reading.stack = stack
    return reading


def _component_folders(loaded: LoadedConfig, source: AppSource, *, builtin: bool) -> dict[str, Path]:
    """Where the manifests of the components are that are switched on; a server has none."""
    if loaded.config.target == "compose":
        return {}
    folder = asset("k8s", "apps", loaded.config.app) if builtin else source.folder / FOLDER
    return {name: folder / name for name in loaded.config.kubernetes.components}


def _follows(problem: Problem, told: list[str]) -> bool:
    """Whether a route lacks its port only because the service, or its ports, could not be read."""
    match = re.match(r"^routes\.([^.\[]+).*\.port$", problem.key)
    if match is None:
        return False
    service = f"services.{match[1]}"
    ports = (f"{service}.ports", f"{service}.expose")
    return any(key == service or key.startswith(ports) for key in told)


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


def missing_secrets(loaded: LoadedConfig, secrets: SecretValues, source: AppSource, app: App | None) -> list[Problem]:
    """Secrets that only the operator can give, and did not yet.

    A name that is listed to keep an env file's value out of the rendered folder has its value there.
    """
    if app is None or not secrets.missing:
        return []
    given = set(app.env_file_values) - source.used
    return [
        loaded.problem(
            ("secrets",), f"the secret {need.name} has no value ({need.why})", hint=f"`moorage secrets set {need.name}`"
        )
        for need in secrets.missing
        if not need.optional and need.name not in given
    ]


def _cluster_inputs(loaded: LoadedConfig, folder: Path, store: SecretStore, app: App) -> ClusterInputs:
    """What a cluster gets of this host's files; nothing for a server, which sees them itself."""
    if loaded.config.target == "compose":
        return ClusterInputs()
    files: Mapping[str, Sensitive] = {}
    if loaded.config.backups.enabled:
        files, too_large = deployment_files(folder, loaded.environment)
        if too_large:
            text = f"leave out of the deployment's folder what is too large for a cluster's Secret: {abridged(too_large, 5)}"
            app.notices.append(Notice("backups", text))
    named = loaded.config.tls.acme_ca_file if loaded.config.tls.mode == "letsencrypt" else None
    authority = (folder / named).read_text(encoding="utf-8") if named and is_file(folder / named) else ""
    return ClusterInputs(_certificate(loaded, folder), authority, files, store.recovery_key(write=False))


def _certificate(loaded: LoadedConfig, folder: Path) -> Certificate | None:
    """The site's own certificate for a cluster, which gets its contents and not a file of this host."""
    files = certificate_files(loaded, folder)
    if len(files) != 2 or not all(is_file(file) for file in files):
        return None
    chain, key = (file.read_text(encoding="utf-8") for file in files)
    return Certificate(chain, Sensitive(key))


def _revision_key(store: SecretStore) -> Sensitive:
    """A key for fingerprints in rendered files; follows from the recovery key, says nothing of it."""
    key = store.recovery_key(write=False)
    return Sensitive(hashlib.sha256(b"moorage revisions\0" + key.reveal().encode()).hexdigest())
