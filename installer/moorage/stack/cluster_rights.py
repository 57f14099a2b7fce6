"""What a service may do with Kubernetes' API: its own file asks, and the operator decides on what reaches beyond the namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moorage.app import extension
from moorage.app.model import App, AppService
from moorage.config.loading import LoadedConfig
from moorage.stack.cluster import ApiRule, ClusterRights

Report = Callable[[AppService, str, str, str], None]


def cluster_rights(loaded: LoadedConfig, app: App, service: AppService, report: Report) -> ClusterRights | None:
    """The rights that a service gets in a cluster; None on a server, and for one that asks for none."""
    wanted = service.extension.kubernetes_access
    if wanted is None or loaded.config.target == "compose":
        return None
    allowed = service.name in loaded.config.permissions.cluster_access
    if wanted.cluster and not allowed and not app.builtin:
        report(
            service,
            "x-moorage.kubernetes_access.cluster",
            "wants rights in the whole cluster, other people's namespaces included",
            f"if it must be, add `{service.name}` under `permissions.cluster_access` in moorage.yaml",
        )
    return ClusterRights(wanted.reason, _rules(wanted.namespace), _rules(wanted.cluster))


def _rules(written: Iterable[extension.ApiRule]) -> tuple[ApiRule, ...]:
    return tuple(ApiRule(rule.groups, rule.resources, rule.verbs) for rule in written)
