"""The settings of the bundled databases as files, the same on every target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.sensitive import Sensitive
from moorage.stack.model import BundledPostgres, BundledRedis
from moorage.templating import render_template


def postgres_files(settings: BundledPostgres) -> dict[str, str]:
    """What the server reads at every start, and `ensure.sql`, by which a deployment makes what is missing in it."""
    view = _postgres_view(settings)
    names = ("postgresql.conf", "pg_hba.conf", "ensure.sql")
    return {name: render_template(f"postgres/{name}.j2", view) for name in names}


def postgres_first_start(settings: BundledPostgres) -> Mapping[str, bytes]:
    """What the image runs once, on empty data, by its path in the folder for that."""
    if settings.user_is_superuser:
        return settings.init_files
    return {"10-roles.sql": render_template("postgres/roles.sql.j2", _postgres_view(settings)).encode()}


def first_database(settings: BundledPostgres) -> str:
    """The database that the image makes at the first start; a plain role's own come by `10-roles.sql`."""
    return settings.databases[0] if settings.user_is_superuser else "postgres"


def redis_settings(settings: BundledRedis) -> str:
    """`redis.conf` without the password."""
    return render_template("redis/redis.conf.j2", {"data_memory": settings.data_memory, "policy": settings.policy})


def redis_secrets(settings: BundledRedis) -> dict[str, Sensitive]:
    """The password as the client's variable and as a finished line of settings; nothing for a server without one."""
    if settings.password is None:
        return {}
    escaped = settings.password.reveal().replace("\\", "\\\\").replace('"', '\\"')
    return {"REDISCLI_AUTH": settings.password, "REDIS_SECRET_SETTINGS": Sensitive(f'requirepass "{escaped}"')}


def _postgres_view(settings: BundledPostgres) -> dict[str, Any]:
    return {
        "basis": settings.basis,
        "parameters": [{"name": item.name, "quoted": _quoted(item.value)} for item in settings.parameters],
        "user": settings.user,
        "superuser": settings.superuser,
        "user_is_superuser": settings.user_is_superuser,
        "reject_superuser": not settings.user_is_superuser,
        "databases": settings.databases,
    }


def _quoted(text: str) -> str:
    """The inside of a quoted value of postgresql.conf, where a backslash begins an escape."""
    return text.replace("\\", "\\\\").replace("'", "''")
