"""Which cluster a command speaks to: the configured one, and any other only when somebody meant it."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.kubeconfig import KubeContext, chosen_context, says_production
from moorage.targets.k8s.facts import ClusterFacts

# A client library speaks to servers of one version more or less; two more are bearable for what we use.
_SKEW = 2


@dataclass(frozen=True)
class ContextChoice:
    """`--context`, and the name that `--yes-context` says again where nobody can be asked."""

    name: str = ""
    confirmed: str = ""


def open_cluster(facts: ClusterFacts, choice: ContextChoice, console: Console) -> Cluster:
    """The cluster of the configured or chosen context. Raises MoorageError; nothing was asked of it but its version."""
    context = chosen_context(choice.name or facts.context, facts.kubeconfig, facts.environment)
    reason = doubt(facts, context)
    if reason:
        _confirm(context, reason, choice.confirmed, console)
    cluster = Cluster(context, facts.kubeconfig)
    _refuse_skew(facts, cluster.version())
    return cluster


def doubt(facts: ClusterFacts, context: KubeContext) -> str:
    """Why the context may not be the one that is meant; empty when nothing speaks against it."""
    if facts.context and context.name != facts.context:
        return f"the configured context of {facts.environment} is {facts.context}, not {context.name}"
    if context.looks_like_production and not says_production(facts.environment):
        return (
            f"{context.name} ({context.host}) looks like production, and the environment {facts.environment} does not"
        )
    return ""


def _confirm(context: KubeContext, reason: str, confirmed: str, console: Console) -> None:
    if not confirmed and console.is_interactive():
        confirmed = console.ask(f"{reason}. Type the context's name to go on:")
    if confirmed != context.name:
        raise MoorageError(f"{reason}; nothing was done", f"if it is meant: --yes-context {context.name}")


def _refuse_skew(facts: ClusterFacts, version: str) -> None:
    """Raise MoorageError for a server too far from the version that the manifests were made for."""
    there, wanted = minor(version), minor(facts.version)
    if abs(there - wanted) > _SKEW:
        raise MoorageError(
            f"the cluster runs Kubernetes {version}, the manifests are for {facts.version}",
            f"set `kubernetes.version` to what the cluster runs ({', '.join(('1.35', '1.36', '1.37'))} are possible), or update the cluster",
        )


def minor(version: str) -> int:
    """35 of `v1.35.4`; 0 for something else."""
    parts = version.lstrip("v").split(".")
    digits = "".join(sign for sign in parts[1] if sign.isdigit()) if len(parts) > 1 else ""
    return int(digits or 0)
