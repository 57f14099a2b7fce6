"""The plan of a deployment's backups: `backups/plan.json` in the rendered folder, read by the job wherever it runs.

It holds everything but secrets: those are files, whose paths stand here. The same plan means the same on a server and on
Kubernetes; only paths and hosts differ.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from moorage.backups.failures import BackupError
from moorage.backups.retention import RetentionPolicy

SCHEMA = 1
PLAN_FILE = "backups/plan.json"
# Where every job sees the volumes of the app, and a backup has them, on every target.
VOLUMES_FOLDER = "/volumes"
# In a cluster: the ConfigMap that a restore makes before it exchanges old and new, and takes away after.
EXCHANGE_MAP = "moorage-exchange"


@dataclass(frozen=True)
class DatabasePlan:
    """The server and its databases. `host` is a folder with its socket, or a host name.

    `password_file` is a pgpass file, "" where the socket needs none. `cluster_folder` is where the job sees the server's
    data, "" where it doesn't. `tls` is a libpq `sslmode`, "" for a socket. `maintenance` is the database that locks are
    taken in and that others are renamed from: one that everybody who deploys may connect to.
    """

    host: str
    port: int
    user: str
    names: tuple[str, ...]
    major: int
    password_file: str = ""
    tls: str = ""
    cluster_folder: str = ""
    maintenance: str = "postgres"


@dataclass(frozen=True)
class VolumePlan:
    """A volume of the app and where the job sees it, read-only; what fits one of the patterns is left out.

    One `only_on_new_machine` (certificates) is saved, and put back only where there is none yet.
    """

    name: str
    path: str
    excludes: tuple[str, ...] = ()
    only_on_new_machine: bool = False


@dataclass(frozen=True)
class StorePlan:
    """A store. Either `directory` (as the job sees it) or `bucket` is set.

    `credentials_file` is an AWS credentials file with a `default` profile. `may_delete` is false for a key that may put
    but not delete: nothing is pruned there by this deployment.
    """

    name: str
    directory: str = ""
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    credentials_file: str = ""
    may_delete: bool = True
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    @property
    def kind(self) -> str:
        """`directory` or `s3`."""
        return "directory" if self.directory else "s3"


@dataclass(frozen=True)
class PhysicalPlan:
    """Point-in-time recovery by pgBackRest: a full backup on `full_weekday` (0 is Sunday), incremental ones else.

    `configuration` is pgBackRest's own file, with the secrets in it; `stores` are those of its repositories, in order.
    `folder` is where the job and the server see the repository of a directory store, "" for a bucket.
    """

    stanza: str
    configuration: str
    stores: tuple[str, ...]
    folder: str = ""
    full_weekday: int = 0


@dataclass(frozen=True)
class AssertionPlan:
    """A SELECT that gives one boolean, asked of the restored database."""

    name: str
    database: str
    sql: str


@dataclass(frozen=True)
class BackupPlan:
    """All that a job must know. Paths are absolute and as the job sees them.

    `folder` is the deployment's folder (moorage.yaml, secrets, overrides, the app's files), with the relative paths in
    `folder_excludes` left out. `work` is the job's own volume: staging, scratch databases, journal.
    `metrics_folder` is where a Prometheus text file and `status.json` are written, "" for nowhere.
    """

    project: str
    deployment_id: str
    environment: str
    target: str
    moorage: str
    work: str
    recovery_key_file: str
    stores: tuple[StorePlan, ...]
    database: DatabasePlan | None = None
    physical: PhysicalPlan | None = None
    volumes: tuple[VolumePlan, ...] = ()
    folder: str = ""
    folder_excludes: tuple[str, ...] = ()
    assertions: tuple[AssertionPlan, ...] = ()
    age_limit_hours: int = 26
    schedule: str = ""
    heartbeat_url_file: str = ""
    metrics_folder: str = ""
    parallel: int = 2
    lock_wait_seconds: int = 30
    samples: int = 20

    def store(self, name: str) -> StorePlan:
        """The store of that name. Raises BackupError naming those that there are."""
        for store in self.stores:
            if store.name == name:
                return store
        raise BackupError(f"there is no store `{name}`", f"one of: {', '.join(store.name for store in self.stores)}")

    def as_json(self) -> str:
        """Stable text: sorted keys."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def read_plan(text: str) -> BackupPlan:
    """plan.json back as a plan. Raises BackupError when it is of another schema or shape."""
    try:
        known = json.loads(text)
        if known.pop("schema") != SCHEMA:
            raise BackupError("plan.json is of another version of moorage", "`moorage up` renders it again")
        database, physical = known.pop("database"), known.pop("physical")
        if database is not None:
            database = DatabasePlan(**{**database, "names": tuple(database["names"])})
        if physical is not None:
            physical = PhysicalPlan(**{**physical, "stores": tuple(physical["stores"])})
        stores = tuple(_store(item) for item in known.pop("stores"))
        volumes = tuple(VolumePlan(**{**item, "excludes": tuple(item["excludes"])}) for item in known.pop("volumes"))
        assertions = tuple(AssertionPlan(**item) for item in known.pop("assertions"))
        known["folder_excludes"] = tuple(known["folder_excludes"])
        return BackupPlan(
            **known, database=database, physical=physical, stores=stores, volumes=volumes, assertions=assertions
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"plan.json can't be read: {type(error).__name__}", "`moorage up` renders it again") from None


def _store(item: dict[str, Any]) -> StorePlan:
    return StorePlan(**{**item, "retention": RetentionPolicy(**item["retention"])})
