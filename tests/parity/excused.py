"""Leaves that no mutant of may be caught, each kind with its reason. Everything else that survives is a defect."""

from __future__ import annotations

from fnmatch import fnmatchcase

# place of a mutant, what was done, why nobody has to see it
EXCUSED: tuple[tuple[str, str, str], ...] = (
    ("README.md: *", "*", "read by people"),
    ("host/systemd/*: Description=*", "*", "read by people"),
    ("compose/build.yaml: *", "*", "how an image is made, not what runs; a cluster takes the image from a registry"),
    ("stack.json: *", "*", "told to the deployer of a server, whose tests hold it against the Compose files"),
    ("k8s/cluster.json: *", "*", "told to the deployer of a cluster, whose tests hold it against the manifests"),
    ("parity.json: *", "*", "what parity itself is told: own names and what may differ"),
    (
        "compose/.env: MOORAGE_*_REVISION",
        "*",
        "a fingerprint: another value of it means a new container and nothing else",
    ),
    ("*: services.*.labels.moorage.revision", "*", "a fingerprint"),
    ("*annotations.moorage/secrets", "*", "a fingerprint"),
    ("*annotations.moorage/component-revision", "*", "a fingerprint"),
    ("compose/.env: COMPOSE_PATH_SEPARATOR", "*", "stands between files, of which there is one"),
    ("compose/compose.yaml: services.*.ports.*.host_ip", "gone", "every address is Compose's default, too"),
    ("compose/compose.yaml: services.*.ports.*.protocol", "gone", "TCP is Compose's default, too"),
    ("compose/compose.yaml: services.*.restart", "gone", "`no` is Compose's default, too"),
    (
        "compose/compose.yaml: services.*.bind.create_host_path",
        "*",
        "whether Docker makes what is missing: what is rendered is there",
    ),
    (
        "compose/compose.yaml: services.traefik.networks.edge.aliases.0",
        "gone",
        "Compose's default, too: the service's name",
    ),
    ("compose/.env: MOORAGE_SOCKET_PROXY_*", "*", "which HAProxy it is: no cluster has that service"),
    ("*.securityContext.readOnlyRootFilesystem", "gone", "a root that may be written is Kubernetes' default, too"),
    ("*.configMap.defaultMode", "gone", "0644 of a mount that is read-only is no more than 0444"),
    ("compose/compose.yaml: services.*.depends_on.*.condition", "gone", "`service_started` is Compose's default, too"),
    ("Job *: metadata.name", "greater", "its end is a fingerprint"),
    ("*loadBalancer.passHostHeader", "gone", "Traefik's default, too"),
    ("*: spec.replicas", "gone", "one pod is Kubernetes' default, too"),
    ("*: spec.strategy.type", "gone", "RollingUpdate is Kubernetes' default, too"),
    ("*Probe.periodSeconds", "gone", "ten seconds are Kubernetes' default, too"),
    ("*Probe.failureThreshold", "gone", "three failures are Kubernetes' default, too"),
    ("*.terminationGracePeriodSeconds", "gone", "thirty seconds are Kubernetes' default, too"),
    (
        "compose/compose.yaml: services.*.stop_grace_period",
        "gone",
        "of a container that shares another's network: in a pod all of them have the longest time",
    ),
    (
        "CronJob *: spec.schedule",
        "another",
        "of a job that waits to be asked for: it is suspended, and its schedule never comes",
    ),
    ("*Probe.httpGet.path", "gone", "`/` is Kubernetes' default, too"),
    ("Ingress *: spec.rules.*.paths.*.path", "gone", "`/` is Kubernetes' default, too"),
)


def is_excused(place: str, what: str) -> bool:
    """Whether a mutant of that place may live."""
    return any(fnmatchcase(place, pattern) and fnmatchcase(what, done) for pattern, done, _ in EXCUSED)
