"""The whole program on one page: what was written → what is true → files → the world."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.app.model import App
from moorage.config.loading import LoadedConfig, environment_names, environment_problem, load_config, load_document
from moorage.config.secrets import RECOVERY_KEY_FILE, RandomBytes, SecretNeed, SecretStore, SecretValues
from moorage.config.tls_files import certificate_problems, ensure_certificate
from moorage.errors import InputError, Problem
from moorage.formats import Document
from moorage.reading import missing_secrets, needs_of, needs_of_app, open_app, read_stack
from moorage.sensitive import Sensitive
from moorage.stack.model import Stack
from moorage.targets.base import Rendering

if TYPE_CHECKING:
    from moorage.targets.compose.facts import StackFacts
    from moorage.targets.k8s.facts import ClusterFacts


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
        """`secrets/<environment>/compose/`, for a cluster `…/k8s/`: derived files with secrets."""
        kind = "compose" if self.stack.cluster is None else "k8s"
        return self.folder / "secrets" / self.environment / kind

    @property
    def lacking_secrets(self) -> tuple[str, ...]:
        """Secrets without a value that only the operator can give; nothing can be deployed before."""
        return self.stack.lacking_secrets


def open_deployment(
    folder: Path,
    environment: str = "",
    *,
    document: Document | None = None,
    given: Mapping[str, Sensitive] | None = None,
    write_secrets: bool = False,
    may_lack_secrets: bool = False,
    for_server: bool = False,
    random_bytes: RandomBytes = random_source.token_bytes,
    now: datetime | None = None,
) -> Deployment:
    """Read config, app and secrets and build the stack.

    Raises InputError with every problem of both files before anything is written. With `write_secrets`
    missing secrets are made once and kept; without, they are stand-ins for a check. `document` is read
    instead of moorage.yaml and `given` are secrets that are not kept yet: `init` tries both before it writes,
    and with `may_lack_secrets` it leaves those that only the operator knows for later. With `for_server` an
    environment for another target is refused like a mistake.
    """
    document = document or load_document(folder)
    environment = environment or environment_names(document)[0]
    unknown = environment_problem(document, environment)
    if unknown is not None:
        raise InputError([unknown])
    loaded, problems = load_config(document, environment)
    if loaded is None:
        raise InputError(problems)
    try:
        source = open_app(loaded, folder)
    except InputError as error:
        raise InputError([*problems, *_not_following(problems, list(error.problems))]) from None
    store = SecretStore(folder, environment, random_bytes, given or {})
    needs = needs_of(loaded, source)
    secrets = store.resolve(needs, write=False)
    reading = read_stack(loaded, folder, source, secrets, store)
    missing = [] if may_lack_secrets else missing_secrets(loaded, secrets, source, reading.app)
    problems.extend(_not_following(problems, [*missing, *reading.problems, *certificate_problems(loaded, folder)]))
    if for_server and loaded.config.target != "compose":
        problems.append(_other_target(loaded))
    if problems:
        raise InputError(problems)
    warnings: tuple[str, ...] = ()
    if write_secrets:
        is_first = not (store.folder / RECOVERY_KEY_FILE).exists()
        made = store.resolve(needs, write=True)
        changed, warnings = ensure_certificate(loaded, folder, now or datetime.now(timezone.utc))
        if is_first or changed or secrets.generated:
            secrets = made
            reading = read_stack(loaded, folder, source, secrets, store)
    assert reading.stack is not None
    assert reading.app is not None
    base = loaded.config.images.source
    sources = (folder / base).resolve() if base else source.folder.resolve()
    return Deployment(folder, environment, reading.stack, secrets, reading.app, loaded, sources, warnings)


def _other_target(loaded: LoadedConfig) -> Problem:
    rule = f"is {loaded.config.target}; this command is for a single server"
    return loaded.problem(("target",), rule, hint="choose an environment whose target is compose (`-e NAME`)")


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
    default, *_ = environment_names(document)
    for environment in environment_names(document):
        try:
            # What another environment lacks is asked for when it is deployed; this file is right without.
            deployments.append(open_deployment(folder, environment, may_lack_secrets=environment != default))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    return tuple(deployments)


def render(stack: Stack) -> Rendering:
    """The files of a stack, for its target."""
    if stack.cluster is not None:
        from moorage.targets.k8s.render import render as render_manifests

        return render_manifests(stack, stack.cluster)
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
    loaded = _loaded(folder, environment)
    return needs_of(loaded, open_app(loaded, folder))


def app_secrets_of(folder: Path, environment: str) -> tuple[str, ...]:
    """The names of the app's own secrets: those of databases, stores and the proxy are not among them."""
    loaded = _loaded(folder, environment)
    return tuple(need.name for need in needs_of_app(loaded, open_app(loaded, folder)))


def project_of(folder: Path, environment: str) -> str:
    """What containers, the namespace and the folder in every store are named after. Raises InputError."""
    from moorage.stack.build import project_of as named

    return named(_loaded(folder, environment))


def _loaded(folder: Path, environment: str) -> LoadedConfig:
    loaded, problems = load_config(load_document(folder), environment)
    if loaded is None:
        raise InputError(problems)
    return loaded


def environments_for_servers(folder: Path) -> tuple[str, ...]:
    """Those of a deployment folder whose target is a single server."""
    return tuple(name for name in names_of_environments(folder) if not is_for_cluster(folder, name))


def secrets_in_env_files(folder: Path, environment: str) -> frozenset[str]:
    """Names whose values the app's env files give; none when the app can't be read for problems of another kind."""
    try:
        found = open_deployment(folder, environment, may_lack_secrets=True)
    except InputError:
        return frozenset()
    return frozenset(found.app.env_file_values) - open_app(found.loaded, folder).used


def facts_of_stack(stack: Stack) -> StackFacts:
    """What the deployer will be told of a stack."""
    import json

    from moorage.targets.compose.facts import read_facts
    from moorage.targets.compose.names import FACTS_FILE

    return read_facts(json.loads(render(stack).public.files[FACTS_FILE].content))


def cluster_facts_of_stack(stack: Stack) -> ClusterFacts:
    """What the deployer of a cluster will be told of a stack."""
    import json

    from moorage.targets.k8s.facts import read_facts
    from moorage.targets.k8s.names import FACTS_FILE

    return read_facts(json.loads(render(stack).public.files[FACTS_FILE].content))


def is_for_cluster(folder: Path, environment: str) -> bool:
    """Whether an environment is for a cluster: what is written says so, else what is rendered. Raises InputError."""
    name = chosen_environment(folder, environment)
    loaded, problems = load_config(load_document(folder), name)
    if loaded is not None:
        return loaded.config.target != "compose"
    # What is there can be looked at and ended although the file has mistakes now.
    if (folder / "rendered" / name).is_dir():
        return (folder / "rendered" / name / "k8s").is_dir()
    raise InputError(problems)
