"""`cluster.json` in the rendered folder: what the deployer must know and manifests cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MinikubeFacts:
    """How minikube is started; sizes are 0 where it decides itself. `memory` in bytes."""

    profile: str
    driver: str
    memory: int
    cpus: int
    kubernetes_version: str
    addons: tuple[str, ...]
    # Each as `component.key=value`.
    extra_config: tuple[str, ...]


@dataclass(frozen=True)
class WorkloadFacts:
    """One service as the deployer sees it; `kind` is of its object, times in seconds."""

    name: str
    kind: str
    image: str
    builds: bool
    startup_seconds: int
    # Containers in its pod: itself and the services that share its network.
    containers: tuple[str, ...]


@dataclass(frozen=True)
class ComponentFacts:
    """A component that is on: its own namespace, what of it stays on the nodes, its workloads."""

    name: str
    namespace: str
    keeps: str
    workloads: tuple[WorkloadFacts, ...]


@dataclass(frozen=True)
class ClusterJobFacts:
    """One job; `object_name` is that of its Job or CronJob."""

    name: str
    object_name: str
    service: str
    run: str
    timeout_seconds: int
    describe: str


@dataclass(frozen=True)
class ClusterBackupFacts:
    """The nightly job; without `base_image` its image is ready-made. `templates` and `status` are names of ConfigMaps."""

    services: tuple[str, ...]
    schedule: str
    image: str
    base_image: str
    stores: tuple[str, ...]
    age_limit_hours: int
    templates: str
    status: str
    # The claim of each volume that is saved.
    claims: Mapping[str, str]


@dataclass(frozen=True)
class ClusterFacts:
    """The whole of cluster.json. `context` is empty where nobody said which cluster."""

    project: str
    environment: str
    deployment_id: str
    target: str
    context: str
    kubeconfig: str
    namespace: str
    version: str
    overlay: str
    domain: str
    base_url: str
    check_path: str
    tls_mode: str
    ingress: str
    pull: str
    build_base: str
    log_max_size: int
    log_max_files: int
    workloads: tuple[WorkloadFacts, ...]
    jobs: tuple[ClusterJobFacts, ...]
    # Image references that run here or that the app starts itself; those that we build are in `builds`.
    images: tuple[str, ...]
    builds: tuple[str, ...]
    # Kinds that the cluster must know beyond its own, as `group/Kind`.
    needs_kinds: tuple[str, ...]
    postgres_superuser: str = ""
    minikube: MinikubeFacts | None = None
    backups: ClusterBackupFacts | None = None
    components: tuple[ComponentFacts, ...] = ()

    @property
    def everywhere(self) -> tuple[WorkloadFacts, ...]:
        """The workloads of the app and of its components."""
        return (*self.workloads, *(item for component in self.components for item in component.workloads))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The app's own, and those of its components."""
        return (self.namespace, *(component.namespace for component in self.components))

    def workload(self, name: str) -> WorkloadFacts:
        """The service of that name. Raises KeyError."""
        for item in self.workloads:
            if item.name == name:
                return item
        raise KeyError(name)


def read_facts(data: dict[str, Any]) -> ClusterFacts:
    """cluster.json back as facts. Raises KeyError or TypeError for a file of another shape."""
    known = dict(data)
    for name, kind in (("workloads", WorkloadFacts), ("jobs", ClusterJobFacts)):
        known[name] = tuple(kind(**_all_tupled(entry)) for entry in known[name])
    # Written before there were any, it has none.
    known["components"] = tuple(
        ComponentFacts(
            **{**entry, "workloads": tuple(WorkloadFacts(**_all_tupled(item)) for item in entry["workloads"])}
        )
        for entry in known.get("components") or ()
    )
    if known.get("minikube") is not None:
        known["minikube"] = MinikubeFacts(**{key: _tupled(item) for key, item in known["minikube"].items()})
    if known.get("backups") is not None:
        known["backups"] = ClusterBackupFacts(**{key: _tupled(item) for key, item in known["backups"].items()})
    return ClusterFacts(**{key: _tupled(item) for key, item in known.items()})


def _all_tupled(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tupled(item) for key, item in entry.items()}


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
