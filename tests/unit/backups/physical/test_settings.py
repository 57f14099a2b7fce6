"""What Postgres and pgBackRest are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moorage.backups.physical.settings import BucketKeys, Configuration, configuration, postgres_parameters, queue_limit
from moorage.backups.plan import StorePlan
from moorage.errors import InputError, MoorageError
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.sensitive import MASK, Sensitive
from moorage.targets.pgbackrest import pgbackrest_configuration

LOCAL = StorePlan("local", directory="/stores/local")
BUCKET = StorePlan("offsite", bucket="acme", prefix="backups/", region="eu-central-1")
KEYS = {"offsite": BucketKeys(Sensitive("AKIA"), Sensitive("bucket-secret"))}


def _configuration(*stores: StorePlan, keys: dict[str, BucketKeys] = KEYS) -> Configuration:
    return configuration(
        stanza="notes",
        stores=stores,
        project="notes",
        passphrase=Sensitive("p" * 64),
        bucket_keys=keys,
        cluster_folder="/var/lib/postgresql/data",
        socket_folder="/var/run/postgresql",
        port=5432,
        user="notes",
        queue_bytes=GIBIBYTE,
        parallel=2,
    )


def test_the_file_as_a_whole() -> None:
    content = pgbackrest_configuration(_configuration(LOCAL, BUCKET))
    assert str(content) == MASK
    assert (
        content.reveal()
        == """\
# Written by moorage. It holds the passphrase of the backups and the keys of their bucket: keep it private.
[global]
archive-push-queue-max=1073741824
compress-type=zst
expire-auto=n
resume=n
start-fast=y
process-max=2
log-level-file=off
io-timeout=20
repo1-path=/stores/local/notes/pgbackrest
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={passphrase}
repo1-bundle=y
repo1-retention-full-type=count
repo1-retention-full=2
repo1-retention-history=0
repo2-type=s3
repo2-path=/backups/notes/pgbackrest
repo2-s3-bucket=acme
repo2-s3-region=eu-central-1
repo2-s3-endpoint=s3.eu-central-1.amazonaws.com
repo2-s3-key=AKIA
repo2-s3-key-secret=bucket-secret
repo2-cipher-type=aes-256-cbc
repo2-cipher-pass={passphrase}
repo2-bundle=y
repo2-retention-full-type=time
repo2-retention-full=28
repo2-retention-history=0

[global:archive-push]
io-timeout=10

[notes]
pg1-path=/var/lib/postgresql/data
pg1-socket-path=/var/run/postgresql
pg1-port=5432
pg1-user=notes
""".format(passphrase="p" * 64)
    )


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("https://minio.lan:9000", "minio.lan", "9000"),
        ("https://s3.example.com/", "s3.example.com", "443"),
        ("minio.lan", "minio.lan", "443"),
    ],
)
def test_a_server_of_ones_own(endpoint: str, host: str, port: str) -> None:
    keys = {"offsite": replace(KEYS["offsite"], authority_file="/etc/authority.pem")}
    text = pgbackrest_configuration(_configuration(replace(BUCKET, endpoint=endpoint), keys=keys)).reveal()
    for line in (
        f"s3-endpoint={host}",
        f"storage-port={port}",
        "s3-uri-style=path",
        "storage-ca-file=/etc/authority.pem",
    ):
        assert f"repo1-{line}\n" in text


def test_a_bucket_without_tls_is_refused() -> None:
    with pytest.raises(InputError, match="https only"):
        _configuration(replace(BUCKET, endpoint="http://minio.lan:9000"))


def test_a_value_can_not_begin_another_option() -> None:
    keys = {"offsite": replace(KEYS["offsite"], secret=Sensitive("x\nrepo1-cipher-type=none"))}
    with pytest.raises(MoorageError) as caught:
        pgbackrest_configuration(_configuration(BUCKET, keys=keys))
    assert "cipher-type" not in caught.value.message


def test_secrets_are_secrets_until_the_file_is_written() -> None:
    assert "bucket-secret" not in repr(_configuration(LOCAL, BUCKET))
    assert "p" * 64 not in repr(_configuration(LOCAL, BUCKET))


def test_what_postgres_is_told() -> None:
    assert postgres_parameters("notes") == {
        "archive_mode": "on",
        "archive_command": 'pgbackrest --config=/etc/pgbackrest/pgbackrest.conf --stanza=notes archive-push "%p"',
        "archive_timeout": "60s",
        "wal_level": "replica",
    }


def test_the_queue_is_a_tenth_of_the_disk_up_to_4_gib() -> None:
    assert queue_limit(20 * GIBIBYTE) == 2 * GIBIBYTE
    assert queue_limit(400 * GIBIBYTE) == 4 * GIBIBYTE
    assert queue_limit(GIBIBYTE) == 256 * MEBIBYTE
    assert queue_limit(0) == GIBIBYTE
