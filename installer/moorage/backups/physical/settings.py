"""What Postgres and pgBackRest must be told for point-in-time recovery: the contract between the server's container
and the job's.

Mounts that both containers need, at the same paths in both, pgBackRest being in the image of both (the server runs
`archive_command`):

| what | path | server | job |
| --- | --- | --- | --- |
| the folder of the configuration file, which `postgres` (999; 70 on Alpine) must be able to read | CONFIGURATION | read | read |
| of a directory store the folder `<project>/pgbackrest`, owned by `postgres`, 0750 | the same in both | write | write |
| the cluster's data | PGDATA of the server | write | read |
| the folder of its socket | /var/run/postgresql | write | read |
| /tmp, where pgBackRest looks for a stop file | tmpfs | write | write |

Of a store the server sees that folder only: what lies beside it (dumps, restic) is closed to everybody but root, so
`postgres` could not pass through it, and has no business there.

Tried with real containers: as user `postgres` the job needs no capability; as root it needs SETUID and SETGID to become
`postgres`, CHOWN and DAC_OVERRIDE for the folders that it makes for it, KILL to stop a recovered server. Its root may be
read-only, it runs with `network none` where the store is a directory, and it never writes to the data. Nothing reads
`postmaster.pid`.
The locks of pgBackRest are not shared with the server's container and need not be: what the server runs is
`archive-push` in its simple form, which takes none.

Archiving is not asynchronous, on purpose. The asynchronous process forks itself off; in a container where Postgres is
process 1 the postmaster inherits it, and takes its non-zero end (a store that can't be reached) for a crashed backend:
it ends every connection and recovers, again with every retry (pgbackrest#2016, docker-library/postgres#1349; tried and
seen). It also tells Postgres the truth: `pg_stat_archiver.failed_count` counts. What it costs: Postgres
hands over one segment at a time and the next one only when every store has it. So while one of two stores is away, the
other gets no newer log either, and a backup to it raises WalGap, until the first answers again or the full queue gives
log up. The way to two independent stores is `archive-async` under another process 1 (`init: true`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from moorage.backups.plan import StorePlan
from moorage.errors import InputError
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.sensitive import Sensitive, Text

CONFIGURATION = "/etc/pgbackrest/pgbackrest.conf"
FOLDER = "pgbackrest"
ARCHIVE_TIMEOUT_SECONDS = 60
IO_TIMEOUT_SECONDS = 20
ARCHIVING_IO_TIMEOUT_SECONDS = 10
_AWS_PORT = 443


@dataclass(frozen=True)
class Retention:
    """How long a store keeps full backups (and all the log since the oldest of them): a count, or days."""

    kind: str
    amount: int


@dataclass(frozen=True)
class BucketKeys:
    """What lets pgBackRest into a bucket; `authority_file` is the CA of a private server, as both containers see it."""

    key: Sensitive
    secret: Sensitive
    authority_file: str = ""


@dataclass(frozen=True)
class Option:
    """One line of pgBackRest's configuration."""

    name: str
    value: Text


@dataclass(frozen=True)
class Configuration:
    """The file as a whole: `templates/pgbackrest/pgbackrest.conf.j2` writes it, `targets.pgbackrest` on the host."""

    stanza: str
    general: tuple[Option, ...]
    archiving: tuple[Option, ...]
    cluster: tuple[Option, ...]


def postgres_parameters(stanza: str, configuration: str = CONFIGURATION) -> dict[str, str]:
    """What the server needs beyond its tuning. `archive_mode` and `wal_level` take a restart, once."""
    command = f'pgbackrest --config={configuration} --stanza={stanza} archive-push "%p"'
    return {
        "archive_mode": "on",
        "archive_command": command,
        "archive_timeout": f"{ARCHIVE_TIMEOUT_SECONDS}s",
        "wal_level": "replica",
    }


def queue_limit(disk_bytes: int) -> int:
    """Bytes of log that may wait for a store: a tenth of the data's disk, at most 4 GiB; 1 GiB where it isn't known.

    Beyond it log is given up, oldest first, so that the database never stops for a full disk; the next backup heals it.
    """
    return max(256 * MEBIBYTE, min((disk_bytes or 10 * GIBIBYTE) // 10, 4 * GIBIBYTE))


def retention_of(store: StorePlan) -> Retention:
    """Two full backups on the server's own disk (one to two weeks of log), four weeks in a bucket."""
    return Retention("count", 2) if store.kind == "directory" else Retention("time", 28)


def configuration(
    *,
    stanza: str,
    stores: Sequence[StorePlan],
    project: str,
    passphrase: Sensitive,
    bucket_keys: dict[str, BucketKeys],
    cluster_folder: str,
    socket_folder: str,
    port: int,
    user: str,
    queue_bytes: int,
    parallel: int,
) -> Configuration:
    """The file's content; the first store is the first repository. Raises InputError for a bucket without TLS.

    A bucket that `bucket_keys` does not name is opened by the machine's role. `passphrase` is derived_key(…,
    "pgbackrest"); `user` is a superuser that the socket lets in without a password.
    """
    general = (
        Option("archive-push-queue-max", str(queue_bytes)),
        Option("compress-type", "zst"),
        # Pruning happens only after tonight's backup was shown to restore.
        Option("expire-auto", "n"),
        # A killed backup is begun anew: what it left is never built upon.
        Option("resume", "n"),
        Option("start-fast", "y"),
        Option("process-max", str(parallel)),
        Option("log-level-file", "off"),
        # Waited for a store that does not answer, for each file. Minutes of it would hide the reason.
        Option("io-timeout", str(IO_TIMEOUT_SECONDS)),
    )
    # A store that is away must not keep the log from the other one for longer than new log takes to come.
    archiving = (Option("io-timeout", str(ARCHIVING_IO_TIMEOUT_SECONDS)),)
    repositories = (
        option
        for number, store in enumerate(stores, 1)
        for option in _repository(f"repo{number}", store, project, passphrase, bucket_keys)
    )
    cluster = (
        Option("pg1-path", cluster_folder),
        Option("pg1-socket-path", socket_folder),
        Option("pg1-port", str(port)),
        Option("pg1-user", user),
    )
    return Configuration(stanza, (*general, *repositories), archiving, cluster)


def _repository(
    prefix: str, store: StorePlan, project: str, passphrase: Sensitive, keys: dict[str, BucketKeys]
) -> tuple[Option, ...]:
    retention = retention_of(store)
    place = (
        _bucket(prefix, store, project, keys.get(store.name))
        if store.kind == "s3"
        else _directory(prefix, store, project)
    )
    return (
        *place,
        Option(f"{prefix}-cipher-type", "aes-256-cbc"),
        Option(f"{prefix}-cipher-pass", passphrase),
        Option(f"{prefix}-bundle", "y"),
        Option(f"{prefix}-retention-full-type", retention.kind),
        Option(f"{prefix}-retention-full", str(retention.amount)),
        Option(f"{prefix}-retention-history", "0"),
    )


def _directory(prefix: str, store: StorePlan, project: str) -> tuple[Option, ...]:
    return (Option(f"{prefix}-path", f"{store.directory.rstrip('/')}/{project}/{FOLDER}"),)


def _bucket(prefix: str, store: StorePlan, project: str, keys: BucketKeys | None) -> tuple[Option, ...]:
    path = "/".join(part for part in (store.prefix.strip("/"), project, FOLDER) if part)
    region = store.region or "us-east-1"
    authority_file = keys.authority_file if keys else ""
    authority = (Option(f"{prefix}-storage-ca-file", authority_file),) if authority_file else ()
    return (
        Option(f"{prefix}-type", "s3"),
        Option(f"{prefix}-path", f"/{path}"),
        Option(f"{prefix}-s3-bucket", store.bucket),
        Option(f"{prefix}-s3-region", region),
        *_endpoint(prefix, store, region),
        *_keys(prefix, keys),
        *authority,
    )


def _keys(prefix: str, keys: BucketKeys | None) -> tuple[Option, ...]:
    """Without keys the machine's own role lets in."""
    if keys is None:
        return (Option(f"{prefix}-s3-key-type", "auto"),)
    return Option(f"{prefix}-s3-key", keys.key), Option(f"{prefix}-s3-key-secret", keys.secret)


def _endpoint(prefix: str, store: StorePlan, region: str) -> tuple[Option, ...]:
    if not store.endpoint:
        return (Option(f"{prefix}-s3-endpoint", f"s3.{region}.amazonaws.com"),)
    address = urlsplit(store.endpoint if "//" in store.endpoint else f"//{store.endpoint}")
    if address.scheme == "http":
        raise InputError(
            f"store `{store.name}`: pgBackRest talks to a bucket over https only, not to {store.endpoint}",
            "give the server a certificate, or use a directory store for point-in-time recovery",
        )
    return (
        Option(f"{prefix}-s3-endpoint", address.hostname or ""),
        Option(f"{prefix}-storage-port", str(address.port or _AWS_PORT)),
        # A server of one's own has no host name for each bucket.
        Option(f"{prefix}-s3-uri-style", "path"),
    )
