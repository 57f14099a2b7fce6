"""What single values of the `kubernetes` block must look like, with the rule in words."""

from __future__ import annotations

import re

_CLASS = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# Who logs in by such a group is the cluster itself; nobody's team is called so.
_SYSTEM = "system:"


def group(value: object) -> str:
    """The name of a group of people."""
    text = _text(value)
    if not text or len(text) > 253 or _CONTROL.search(text):
        raise ValueError("must be the name of a group, without spaces")
    if text.startswith(_SYSTEM):
        raise ValueError("must not begin with `system:`: those groups are the cluster's own")
    return text


def role_arn(value: object) -> str:
    """The name of an AWS role in full."""
    text = _text(value)
    if not _ROLE.fullmatch(text):
        raise ValueError("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/acme-backups")
    return text


def class_name(value: object) -> str:
    """The name of a class of disks, snapshots or Ingresses."""
    text = _text(value)
    if not _CLASS.fullmatch(text):
        raise ValueError("must be small letters, digits, dashes and dots")
    return text


def context(value: object) -> str:
    """The name of a context in a kubeconfig; an EKS one is an ARN."""
    text = _text(value)
    if not text or len(text) > 512 or _CONTROL.search(text) or text.startswith("-"):
        raise ValueError("must be the name of a context; `kubectl config get-contexts` lists them")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value
