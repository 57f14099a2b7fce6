"""From the plan of a store to the store."""

from __future__ import annotations

from moorage.backups.plan import StorePlan
from moorage.backups.stores.base import Store
from moorage.backups.stores.directory import DirectoryStore
from moorage.backups.stores.s3 import S3Store


def open_store(plan: StorePlan, project: str) -> Store:
    """The store of a project. Nothing is asked of it yet, but wrong credentials files are refused."""
    return DirectoryStore(plan, project) if plan.kind == "directory" else S3Store(plan, project)
