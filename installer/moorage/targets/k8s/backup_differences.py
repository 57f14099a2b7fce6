"""In what the backup job of a cluster differs from a server's, and why: beside `backups.py`, which causes it."""

from __future__ import annotations

from moorage.parity.facts import SECRET
from moorage.parity.reasons import Allowed, Pair, adding, either, lacking, nothing_left, only_left, only_right, values
from moorage.targets.backup_plan import METRICS_PLACE
from moorage.targets.k8s.backup_mounts import WORK_CLAIM

_PHASE_ADDS = {
    "mount./plan": "files only",
    "mount./run/secrets": "files only",
    "mount./run/secrets.mode": "400",
    "mount./deployment.mode": "400",
    "request.cpu": "0.1",
    "request.memory": "64Mi",
    "time limit": "43200s",
}
_PHASE_LACKS = {
    "mount./tmp.mode": "1777",
    "mount./run/moorage.mode": "0700",
    "setting.cpu_shares": "256",
    "setting.init": "yes",
    "setting.oom_score_adj": "500",
    "setting.profiles": "backup",
    "mount./work.first content": "the image's",
    f"mount.{METRICS_PLACE}.makes the folder": "yes",
    "mount./deployment.makes the folder": "yes",
    "night.PROJECT": "${PROJECT}",
    "night.ENVIRONMENT": "${ENVIRONMENT}",
    "night.SERVICE": "backup",
    "night.DRILL_SERVICE": "backup-drill",
}
_OTHERWISE = {
    **{
        f"file./run/secrets/{name}": (SECRET, f"{SECRET} read-only") for name in ("recovery_key", "heartbeat", "pgpass")
    },
    f"mount.{METRICS_PLACE}": ("host releases/${ENVIRONMENT}/backups", f"volume {WORK_CLAIM} folder metrics"),
    "mount./deployment": ("host . read-only", "plain files only"),
    "mount./var/run/postgresql": ("volume postgres-socket read-only", "volume postgres-data folder socket read-only"),
}
_CERTIFICATES = {
    "mount./volumes/edge-acme": "volume edge-acme read-only",
    "plan.volume edge-acme": "excludes=[] only_on_new_machine=yes path=/volumes/edge-acme",
}
_WRITTEN = {"mount./volumes/edge-acme": ("volume edge-acme", "")}
_CONDUCTOR = {
    "backup conductor → names": "yes",
    "backup conductor → outside": "everywhere at 443 6443 8443",
    "backup conductor → proxy": "8443",
}


def _is_a_store(pair: Pair) -> bool:
    """Whether the folder of a store has become a disk of that store, as writable as before."""
    name = pair.key.field.rpartition("/")[2]
    mode = " read-only" if pair.left.endswith(" read-only") else ""
    is_folder = pair.left == f"host backups{mode}" or pair.left.startswith("host /")
    return is_folder and pair.right == f"volume backup-store-{name}{mode}"


def _is_of_the_folder(pair: Pair) -> bool:
    """Whether it is a file of the deployment's folder, which is a Secret where there is no such folder."""
    return not pair.left and pair.right == f"{SECRET} read-only"


def _is_on_the_same_disk(pair: Pair) -> bool:
    return pair.right == f"{pair.left}/pgdata"


_OF_THE_LOG = {
    "backup": ("*/etc/pgbackrest*", "mount./archive/*", "plan.physical*"),
    "backup restore": ("*/etc/pgbackrest*", "mount./archive/*", "capabilities"),
    "database": (
        "*/etc/pgbackrest*",
        "mount./archive/*",
        "parameter.archive_*",
        "parameter.wal_level",
        "network.backup",
        "file./etc/postgresql/postgresql.conf",
        "image",
        "pull",
    ),
    "network": ("database → *", "* → database"),
    "capability": ("point-in-time restore",),
}


def _has_no_log(pair: Pair) -> bool:
    """Whether a server hands its write-ahead log to a store, which no cluster does so far."""
    has = any(key.field.startswith("plan.physical.") for key in pair.left_facts.values)
    return has and pair.right_facts.get("backup", "plan.physical") == "null"


def _is_in_the_registry(pair: Pair) -> bool:
    one, other = (facts.wholly_neutral(facts.values.get(pair.key, "")) for facts in (pair.left_facts, pair.right_facts))
    return bool(one) and other.endswith(f"/{one}")


_WHY = "A phase of a night is a Job of its own; what Docker or systemd gives it there, its pod has in other words."

DIFFERENCES = (
    Allowed(
        "backup*",
        "*",
        _WHY,
        lambda pair: adding(_PHASE_ADDS)(pair) or lacking(_PHASE_LACKS)(pair) or either(_OTHERWISE)(pair),
    ),
    Allowed(
        "backup*",
        "file./run/secrets/store_*",
        "Keys of a store are files of a Secret.",
        values(SECRET, f"{SECRET} read-only"),
    ),
    Allowed("backup*", "mount./stores/*", "A folder of the server is a disk in a cluster.", _is_a_store),
    Allowed(
        "backup*",
        "file./deployment/*",
        "The deployment's folder stays with the operator; a Secret brings its files to the backup.",
        _is_of_the_folder,
    ),
    Allowed("backup", "plan.database.cluster_folder", "As the database's own folder.", _is_on_the_same_disk),
    Allowed(
        "backup*",
        "*edge-acme*",
        "Certificates that cert-manager orders are in Secrets; it orders them anew.",
        lambda pair: (either(_WRITTEN) if pair.key.subject == "backup restore" else lacking(_CERTIFICATES))(pair),
    ),
    Allowed(
        "backup*",
        "image",
        "The nodes of a cluster pull the job's image from the registry; a server makes it itself.",
        _is_in_the_registry,
        ("any", "eks"),
    ),
    Allowed(
        "backup*",
        "pull",
        "The nodes of a cluster pull the job's image from the registry; a server makes it itself.",
        values("never", "missing"),
        ("any", "eks"),
    ),
    *(
        Allowed(
            subject,
            field,
            "Point-in-time restore: on one server only. A cluster keeps the nightly backups.",
            _has_no_log,
            capability=True,
        )
        for subject, fields in _OF_THE_LOG.items()
        for field in fields
    ),
    Allowed(
        "backup*",
        "setting.ulimits.core",
        "Whether a crash leaves its memory on a disk is said by the node's core_pattern, not by a pod.",
        lacking({"setting.ulimits.core": "0"}),
        capability=True,
    ),
    Allowed(
        "backup*",
        "mount./var/lib/postgresql*",
        "Docker would make a volume where the image declares one; a pod has none that nobody names.",
        only_left("memory 1Mi"),
    ),
    Allowed(
        "backup drill",
        "mount./tmp.mode",
        "Docker would make a volume where the image declares one; a pod has none that nobody names.",
        only_left("1777"),
        needed=("mount./tmp.mode", "mount./var/lib/postgresql*"),
    ),
    Allowed("backup drill", "environment.TMPDIR", "Phases share one template.", only_right("/work")),
    Allowed(
        "backup restore",
        f"mount.{METRICS_PLACE}",
        "Phases share one template for their own folders.",
        adding({f"mount.{METRICS_PLACE}": f"volume {WORK_CLAIM} folder metrics"}),
    ),
    Allowed(
        "backup conductor",
        "*",
        "What `night.sh` does on a server: it starts the phases, and reads neither data nor secrets.",
        nothing_left,
    ),
    Allowed(
        "network",
        "backup conductor → *",
        "The conductor asks the cluster to start Jobs; the cluster's interface may be at the port that the proxy has in its pod.",
        adding(_CONDUCTOR),
    ),
)
