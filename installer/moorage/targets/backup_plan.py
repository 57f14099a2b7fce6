"""What the job of backups is told: every path as its containers have it, which is the same on every target."""

from __future__ import annotations

from moorage import __version__
from moorage.backups.plan import AssertionPlan, BackupPlan, DatabasePlan, PhysicalPlan, StorePlan, VolumePlan
from moorage.sensitive import Sensitive
from moorage.stack.model import BackupSettings, BackupStore, BundledPostgres, ExternalPostgres, Stack

SOCKET_FOLDER = "/var/run/postgresql"
METRICS_PLACE = "/metrics"
FOLDER_PLACE = "/deployment"
WORK_PLACE = "/work"
SECRETS_PLACE = "/run/secrets"
RECOVERY_KEY = "recovery_key"
PGPASS = "pgpass"
HEARTBEAT = "heartbeat"


def plan(stack: Stack, settings: BackupSettings, physical: PhysicalPlan | None = None) -> BackupPlan:
    """What the job is told; `physical` is of a server whose log is archived."""
    return BackupPlan(
        project=stack.project,
        deployment_id=stack.deployment_id,
        environment=stack.environment,
        target=stack.target,
        moorage=__version__,
        work=WORK_PLACE,
        recovery_key_file=f"{SECRETS_PLACE}/{RECOVERY_KEY}",
        stores=tuple(store_plan(store) for store in settings.stores),
        database=_database_plan(stack, settings),
        physical=physical,
        volumes=tuple(
            VolumePlan(item.name, volume_place(item.name), item.exclude, item.only_on_new_machine)
            for item in settings.volumes
        ),
        folder=FOLDER_PLACE,
        folder_excludes=settings.folder_excludes,
        assertions=tuple(AssertionPlan(item.name, item.database, item.sql) for item in settings.questions),
        age_limit_hours=settings.age_limit_hours,
        schedule=settings.schedule,
        heartbeat_url_file=f"{SECRETS_PLACE}/{HEARTBEAT}" if settings.heartbeat else "",
        parallel=settings.parallel,
        metrics_folder=METRICS_PLACE,
    )


def store_plan(store: BackupStore) -> StorePlan:
    """A store as the job sees it."""
    return StorePlan(
        name=store.name,
        directory=store_place(store) if store.directory else "",
        bucket=store.bucket,
        prefix=store.prefix,
        endpoint=store.endpoint,
        region=store.region,
        credentials_file=f"{SECRETS_PLACE}/{credentials_name(store)}" if store.access_key else "",
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
            password_file=f"{SECRETS_PLACE}/{PGPASS}",
            tls=postgres.tls,
        )
    return None


def volume_place(name: str) -> str:
    """Where the job sees a volume."""
    return f"/volumes/{name}"


def store_place(store: BackupStore) -> str:
    """Where the job sees a store that is a folder."""
    return f"/stores/{store.name}"


def credentials_name(store: BackupStore) -> str:
    """The file with a bucket's keys, below the folder of secrets."""
    return f"store_{store.name}"


def secret_files(stack: Stack, settings: BackupSettings) -> dict[str, Sensitive]:
    """What the job reads below its folder of secrets, by name; the recovery key is apart from them."""
    files = {credentials_name(store): _credentials_text(store) for store in settings.stores if store.access_key}
    if isinstance(stack.postgres, ExternalPostgres):
        files[PGPASS] = _pgpass(stack.postgres)
    if settings.heartbeat:
        files[HEARTBEAT] = f"{settings.heartbeat.reveal()}\n"
    return {name: Sensitive(text) for name, text in files.items()}


def _credentials_text(store: BackupStore) -> str:
    """The format of AWS' own programs."""
    assert store.access_key is not None
    assert store.secret_key is not None
    return (
        f"[default]\naws_access_key_id = {store.access_key.reveal()}\n"
        f"aws_secret_access_key = {store.secret_key.reveal()}\n"
    )


def _pgpass(postgres: ExternalPostgres) -> str:
    """libpq's password file; `:` and a backslash are escaped in it."""
    fields = (postgres.host, str(postgres.port), "*", postgres.user, postgres.password.reveal())
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n"


def needs_network(stack: Stack) -> bool:
    """Whether the job has to reach anything outside, or a database that is not a bundled one."""
    settings = stack.backups
    if settings is None:
        return False
    return (
        bool(settings.heartbeat)
        or isinstance(stack.postgres, ExternalPostgres)
        or any(store.bucket for store in settings.stores)
    )
