"""What an S3 server's error codes mean, and what to do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.backups.failures import BackupError, StoreFull, StoreRefused, StoreUnreachable
from moorage.backups.plan import StorePlan

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_WRONG_KEY = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity",
}  # fmt: skip
_SKEWED = {"RequestTimeTooSkewed", "RequestInTheFuture"}
_FULL = {
    "QuotaExceeded", "StorageQuotaExceeded", "ServiceQuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "StorageFull",
    "InsufficientStorage", "InsufficientCapacity", "TotalCapExceeded", "StorageCapExceeded", "OverQuota", "NoSpaceLeft",
}  # fmt: skip
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_ACTIONS = {
    "GetObject": "s3:GetObject and s3:ListBucket",
    "PutObject": "s3:PutObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
}


def code_of(error: ClientError) -> str:
    """The server's own word for it."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status, 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing_key(error: ClientError) -> bool:
    """Whether only the object is missing, and not the bucket."""
    return code_of(error) in ("NoSuchKey", "404")


def is_precondition(error: ClientError) -> bool:
    """Whether another object is there already, or comes just now."""
    return code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict") or status_of(error) == 412


def is_unsupported(error: ClientError) -> bool:
    """Whether the server does not know the condition of a put."""
    return code_of(error) in ("NotImplemented", "InvalidArgument") or status_of(error) == 501


def told_apart(plan: StorePlan, error: ClientError) -> BackupError:
    """An S3 error as the failure that it is, with the next step."""
    code, where = code_of(error), f"store `{plan.name}` (bucket {plan.bucket})"
    if code in _EXPIRED:
        return StoreRefused(f"{where}: the key has expired ({code})", f"put a new one into {plan.credentials_file}")
    if code in _WRONG_KEY:
        return StoreRefused(f"{where}: the key is not accepted ({code})", f"look at {plan.credentials_file}")
    if code in _SKEWED:
        return StoreRefused(f"{where}: the clock of this server is wrong ({code})", "set the clock (`timedatectl`)")
    if code in _FULL or status_of(error) == 507:
        return StoreFull(f"{where}: no room is left ({code})", "raise the quota there; older backups were not touched")
    if code == "NoSuchBucket":
        return StoreUnreachable(
            f"{where}: there is no such bucket", "make the bucket, or correct its name; moorage makes none"
        )
    if code in _ELSEWHERE:
        return StoreUnreachable(
            f"{where}: the bucket is in another region ({code})", "correct `region` in moorage.yaml"
        )
    if status_of(error) in (401, 403):
        return _not_allowed(where, error)
    return StoreUnreachable(
        f"{where}: the server answers {status_of(error)} {code} to {error.operation_name}",
        "look at the provider's status page; the next run tries again",
    )


def _not_allowed(where: str, error: ClientError) -> StoreRefused:
    operation = error.operation_name
    allow = f"let the key do {_ACTIONS[operation]}" if operation in _ACTIONS else "look at the key's rights"
    return StoreRefused(f"{where}: the key may not {operation} ({code_of(error)})", allow)
