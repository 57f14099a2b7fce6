"""What the job of backups is told on one server: every path as its containers have it."""

from __future__ import annotations

from moorage import __version__
from moorage.backups.plan import AssertionPlan, BackupPlan, DatabasePlan, StorePlan, VolumePlan
from moorage.stack.model import BackupSettings, BackupStore, BundledPostgres, ExternalPostgres, Stack
from moorage.targets.compose import archiving

SOCKET_FOLDER = "/var/run/postgresql"
METRICS_PLACE = "/metrics"
RECOVERY_KEY = "recovery_key"
PGPASS = "pgpass"
HEARTBEAT = "heartbeat"
_SECRETS = "/run/secrets"


def plan(stack: Stack, settings: BackupSettings) -> BackupPlan:
    """What the job is told; every path as its container has it."""
    return BackupPlan(
        project=stack.project,
        deployment_id=stack.deployment_id,
        environment=stack.environment,
        target=stack.target,
        moorage=__version__,
        work="/work",
        recovery_key_file=f"{_SECRETS}/{RECOVERY_KEY}",
        stores=tuple(store_plan(store) for store in settings.stores),
        database=_database_plan(stack, settings),
        physical=archiving.plan(stack, settings),
        volumes=tuple(
            VolumePlan(item.name, volume_place(item.name), item.exclude, item.only_on_new_machine)
            for item in settings.volumes
        ),
        folder="/deployment",
        folder_excludes=settings.folder_excludes,
        assertions=tuple(AssertionPlan(item.name, item.database, item.sql) for item in settings.questions),
        age_limit_hours=settings.age_limit_hours,
        schedule=settings.schedule,
        heartbeat_url_file=f"{_SECRETS}/{HEARTBEAT}" if settings.heartbeat else "",
        parallel=settings.parallel,
        metrics_folder=METRICS_PLACE,
    )


def store_plan(store: BackupStore) -> StorePlan:
    return StorePlan(
        name=store.name,
        directory=store_place(store) if store.directory else "",
        bucket=store.bucket,
        prefix=store.prefix,
        endpoint=store.endpoint,
        region=store.region,
        credentials_file=f"{_SECRETS}/{credentials_name(store)}" if store.access_key else "",
        may_delete=store.may_delete,
        retention=store.retention,
    )


def _database_plan(stack: Stack, settings: BackupSettings) -> DatabasePlan | None:
    postgres = stack.postgres
    if isinstance(postgres, BundledPostgres):
        return DatabasePlan(
            SOCKET_FOLDER,
            5432,
            postgres.superuser,
            postgres.databases,
            postgres.version,
            cluster_folder=postgres.cluster_path,
        )
    if isinstance(postgres, ExternalPostgres):
        return DatabasePlan(
            postgres.host,
            postgres.port,
            postgres.user,
            postgres.databases,
            settings.version,
            password_file=f"{_SECRETS}/{PGPASS}",
            tls=postgres.tls,
        )
    return None


def volume_place(name: str) -> str:
    return f"/volumes/{name}"


def store_place(store: BackupStore) -> str:
    return f"/stores/{store.name}"


def credentials_name(store: BackupStore) -> str:
    return f"store_{store.name}"
