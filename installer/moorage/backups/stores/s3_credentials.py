"""The AWS credentials file of a store: read by us first, so that nobody falls back to the machine's own identity."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from moorage.backups.failures import StoreRefused
from moorage.backups.plan import StorePlan
from moorage.sensitive import Sensitive

_PROFILE = "default"
# How AWS tells a container which role it has: by the metadata service of its server, by a token of its cluster.
ROLE_VARIABLES = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


@dataclass(frozen=True)
class Credentials:
    """A key; the session token is empty unless the key is a temporary one."""

    key_id: str
    secret: Sensitive
    session_token: Sensitive


def role_environment(plan: StorePlan) -> dict[str, str]:
    """What tells of the role that a store without a credentials file is opened by; nothing for any other store."""
    if plan.credentials_file:
        return {}
    return {name: os.environ[name] for name in ROLE_VARIABLES if name in os.environ}


def credentials_of(plan: StorePlan) -> Credentials | None:
    """The key in the store's credentials file, None where the plan names none: then it is the role that AWS gave.

    Raises StoreRefused when the file has no key; nothing of it is ever shown. restic and boto3 would ask the environment
    and the cloud's metadata service then, and use whatever they find there.
    """
    if not plan.credentials_file:
        return None
    file = Path(plan.credentials_file)
    if not file.is_file():
        raise _refused(plan, f"its credentials file {plan.credentials_file} is not there")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own message would show the line, and with it the secret.
        raise _refused(plan, f"its credentials file {file} is no AWS credentials file") from None
    except OSError as error:
        raise _refused(plan, f"its credentials file {file} can't be read: {error.strerror}") from None
    key_id, secret, token = (
        parser.get(_PROFILE, name, fallback="").strip()
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    )
    if not key_id or not secret:
        raise _refused(plan, f"its credentials file {file} has no key for the profile [{_PROFILE}]")
    return Credentials(key_id, Sensitive(secret), Sensitive(token))


def _refused(plan: StorePlan, reason: str) -> StoreRefused:
    wanted = f"it needs [{_PROFILE}] with aws_access_key_id and aws_secret_access_key"
    return StoreRefused(f"store `{plan.name}`: {reason}", wanted)
