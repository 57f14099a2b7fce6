"""`moorage check` for a cluster: look, tell, change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from moorage import flow
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.cluster.opening import ContextChoice, open_cluster
from moorage.operations.cluster.planning import rendered_objects
from moorage.process import installed
from moorage.targets.cluster import images, kustomize
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.looking import Sight, sights
from moorage.targets.cluster.objects import Object
from moorage.targets.k8s.facts import ClusterFacts
from moorage.words import listed, plural


def check(deployment: flow.Deployment, console: Console, choice: ContextChoice) -> int:
    """Show every finding; gives 0, or 1 when something stands in the way."""
    found = list(_all(deployment, console, choice))
    failures = [item for item in found if item.level == "failure"]
    if console.as_json:
        findings = [{"check": item.check, "level": item.level, "text": item.text, "fix": item.fix} for item in found]
        console.data({"good": not failures, "findings": findings})
        return 1 if failures else 0
    for item in found:
        say = {"ok": console.success, "warning": console.warning, "failure": console.failure}[item.level]
        say(f"{item.check}: {item.text}")
        if item.level != "ok" and item.fix:
            console.detail(f"→ {item.fix}")
    count = sum(item.level == "warning" for item in found)
    (console.failure if failures else console.success)(
        f"{plural(len(failures), 'failure')}, {plural(count, 'warning')}"
    )
    return 1 if failures else 0


def _all(deployment: flow.Deployment, console: Console, choice: ContextChoice) -> Iterator[Sight]:
    facts = flow.cluster_facts_of_stack(deployment.stack)
    lacking = deployment.lacking_secrets
    if lacking:
        fix = f"`moorage secrets set {lacking[0]} -e {deployment.environment}`"
        yield Sight("secrets", "failure", f"no value yet for {listed(lacking, 'and')}", fix)
    if facts.minikube is not None and not installed("minikube"):
        yield Sight(
            "minikube", "failure", "the program `minikube` is not installed", "https://minikube.sigs.k8s.io/docs/start/"
        )
    wanted: Sequence[Object] = ()
    try:
        command = kustomize.program()
        wanted = rendered_objects(facts, flow.render(deployment.stack), deployment.folder)
        yield Sight("manifests", "ok", f"`{' '.join(command)}` builds {plural(len(wanted), 'object')}")
    except MoorageError as error:
        yield Sight("manifests", "failure", error.message, error.hint)
    try:
        images.refuse_unpushed(facts)
    except MoorageError as error:
        yield Sight("images", "failure", error.message.removesuffix("; nothing was changed"), error.hint)
    try:
        cluster = open_cluster(facts, choice, console)
    except MoorageError as error:
        yield Sight("context", "failure", error.message, error.hint)
        return
    yield Sight("context", "ok", f"{cluster.context.name} answers at {cluster.context.server}")
    yield from sights(cluster, facts, wanted)


def check_first(cluster: Cluster, facts: ClusterFacts, objects: Sequence[Object], console: Console) -> None:
    """Raise MoorageError when something stands in the way that a dry run would not find."""
    with console.waiting("checking the cluster"):
        found = [item for item in sights(cluster, facts, objects) if item.level == "failure"]
    if not found:
        return
    for item in found:
        console.failure(f"{item.check}: {item.text}")
        console.detail(f"→ {item.fix}")
    raise MoorageError(
        "this cluster can't run the deployment as it is; nothing was changed",
        "mend what is above, or `moorage up --skip-checks` if you know better",
    )
