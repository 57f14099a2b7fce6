"""A store in an S3 bucket: Amazon's, or any server that speaks the same language."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moorage.backups.failures import BackupError, Damaged, StoreRefused, StoreUnreachable
from moorage.backups.plan import StorePlan
from moorage.backups.stores.base import (
    LARGEST_BYTES,
    RESTIC_FOLDER,
    checked_key,
    checked_prefix,
    must_be_same,
    must_be_small,
)
from moorage.backups.stores.s3_credentials import Credentials, credentials_of, role_environment
from moorage.backups.stores.s3_failures import is_missing_key, is_precondition, is_unsupported, told_apart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A dead endpoint is an answer within about a minute: three tries, and a little waiting between them.
_CONNECT_SECONDS = 10
_READ_SECONDS = 20
_TRIES = 3
# What boto3 would read of the machine's own settings, put out of its sight while a client is made.
_NOT_THE_MACHINES_OWN = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # Servers that are not Amazon's refuse the checksums that newer boto3 adds by itself.
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
_ENVIRONMENT = threading.Lock()


class S3Store:
    """Objects below `<prefix>/<project>/` in a bucket. The bucket must exist; moorage never makes one."""

    def __init__(self, plan: StorePlan, project: str) -> None:
        self.plan = plan
        parts = (*plan.prefix.strip("/").split("/"), project) if plan.prefix.strip("/") else (project,)
        self._root = checked_key("/".join(parts)) + "/"
        with self._failures():
            self._client = _client(plan)

    def put(self, key: str, content: bytes) -> None:
        """See Store."""
        path = self._root + checked_key(key)
        before = self.get(key)
        if before is None:
            with self._failures():
                self._put_new(path, content)
            before = self.get(key)
        if before is None:
            raise Damaged(f"store `{self.plan.name}` took {key}, but does not have it", "ask who runs the S3 server")
        must_be_same(self.plan.name, key, before, content)

    def _put_new(self, path: str, content: bytes) -> None:
        """Write an object, if the server can, only where none is; somebody else's between leaves it as it is."""
        from botocore.exceptions import ClientError

        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        wanted: dict[str, Any] = {"Bucket": self.plan.bucket, "Key": path, "Body": content, "ContentMD5": digest}
        try:
            self._client.put_object(**wanted)
        except ClientError as error:
            if is_precondition(error):
                return
            if not is_unsupported(error):
                raise
            self._client.meta.events.unregister("before-call.s3.PutObject", _only_if_new)
            self._client.put_object(**wanted)

    def get(self, key: str) -> bytes | None:
        """See Store."""
        from botocore.exceptions import ClientError

        with self._failures():
            try:
                found = self._client.get_object(Bucket=self.plan.bucket, Key=self._root + checked_key(key))
                return must_be_small(self.plan.name, key, found["Body"].read(LARGEST_BYTES + 1))
            except ClientError as error:
                if not is_missing_key(error):
                    raise
        return None

    def keys(self, prefix: str) -> tuple[str, ...]:
        """See Store."""
        found: list[str] = []
        with self._failures():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.plan.bucket, Prefix=self._root + checked_prefix(prefix)):
                found += [item["Key"].removeprefix(self._root) for item in page.get("Contents", [])]
        return tuple(sorted(found))

    def delete(self, key: str) -> None:
        """See Store."""
        with self._failures():
            self._client.delete_object(Bucket=self.plan.bucket, Key=self._root + checked_key(key))

    def free_bytes(self) -> int | None:
        """See Store: a bucket does not tell."""
        return None

    def restic_repository(self) -> str:
        """See Store."""
        return f"s3:{self._endpoint()}/{self.plan.bucket}/{self._root}{RESTIC_FOLDER}"

    def environment(self) -> dict[str, str]:
        """See Store."""
        region = {"AWS_DEFAULT_REGION": self.plan.region} if self.plan.region else {}
        if not self.plan.credentials_file:
            return {**role_environment(self.plan), **region}
        return {"AWS_SHARED_CREDENTIALS_FILE": self.plan.credentials_file, "AWS_PROFILE": "default", **region}

    def _endpoint(self) -> str:
        """The address, with `https://` where the plan names none; Amazon's of the region where it names no address."""
        if not self.plan.endpoint:
            return f"https://s3.{self.plan.region or 'us-east-1'}.amazonaws.com"
        return _with_scheme(self.plan.endpoint)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            CredentialRetrievalError,
            HTTPClientError,
            MetadataRetrievalError,
            NoCredentialsError,
        )
        from botocore.parsers import ResponseParserError

        try:
            yield
        except (CredentialRetrievalError, MetadataRetrievalError, NoCredentialsError):
            raise self._without_role() from None
        except ClientError as error:
            raise told_apart(self.plan, error) from None
        except (BotoCoreError, HTTPClientError, Boto3Error) as error:
            raise self._unreachable(error) from None
        except ResponseParserError:
            raise StoreUnreachable(
                f"store `{self.plan.name}`: {self._endpoint()} answers, but not as an S3 server does",
                "does a proxy or a login page of the network stand between?",
            ) from None

    def _without_role(self) -> BackupError:
        return StoreRefused(
            f"store `{self.plan.name}`: AWS gives this server no role",
            "attach one to the instance, and let its metadata service answer containers (hop limit 2), or use `credentials: keys`",
        )

    def _unreachable(self, error: Exception) -> BackupError:
        return StoreUnreachable(
            f"store `{self.plan.name}`: {self._endpoint()} does not answer: {error}",
            "look at the address in moorage.yaml, the network and the provider's status page",
        )


def _with_scheme(endpoint: str) -> str:
    return (endpoint if "://" in endpoint else f"https://{endpoint}").rstrip("/")


def _client(plan: StorePlan) -> S3Client:
    """A client that knows the plan and its credentials file, and nothing of the machine."""
    with _ENVIRONMENT, _environment_of(plan):
        from boto3.session import Session
        from botocore.config import Config

        settings = Config(
            signature_version="s3v4",
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": _TRIES, "mode": "standard"},
            s3={"addressing_style": "path" if plan.endpoint else "auto"},
        )
        access = credentials_of(plan)
        given = {} if access is None else _as_parameters(access)
        client = Session(region_name=plan.region or "us-east-1").client(
            "s3",
            endpoint_url=_with_scheme(plan.endpoint) if plan.endpoint else None,
            config=settings,
            **given,
        )
    client.meta.events.register("before-call.s3.PutObject", _only_if_new)
    return client


def _as_parameters(access: Credentials) -> dict[str, Any]:
    return {
        "aws_access_key_id": access.key_id,
        "aws_secret_access_key": access.secret.reveal(),
        "aws_session_token": access.session_token.reveal() or None,
    }


def _only_if_new(params: dict[str, Any], **_: Any) -> None:
    # By an event, because boto3 has a parameter for it only since 1.35.
    params["headers"]["If-None-Match"] = "*"


@contextmanager
def _environment_of(plan: StorePlan) -> Iterator[None]:
    """Nothing of what the machine knows of AWS; for a store that is opened by a role, what tells of that."""
    shown = {**_NOT_THE_MACHINES_OWN, **role_environment(plan)}
    if not plan.credentials_file:
        del shown["AWS_EC2_METADATA_DISABLED"]
    hidden = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "BOTO_"))}
    for name in hidden:
        del os.environ[name]
    os.environ.update(shown)
    try:
        # A role is asked for when the first request is signed: its settings were read by then.
        yield
    finally:
        for name in shown:
            os.environ.pop(name, None)
        os.environ.update(hidden)
