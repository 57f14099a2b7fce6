"""What this installation says about itself: never a secret."""

from dataclasses import dataclass

from notes import VERSION, store
from notes.parts import Parts


@dataclass(frozen=True)
class About:
    """The facts of /about and /api/about."""

    version: str
    app_version: str
    site_name: str
    greeting: str
    hostname: str
    started_at: str
    schema_version: int
    notes: int
    attachments: int
    smtp_configured: bool


async def gather(parts: Parts) -> About:
    """Return the facts, or raise a database error."""
    async with parts.database.connection() as connection:
        counts = await store.count_everything(connection)
    return About(
        version=VERSION,
        app_version=parts.settings.app_version,
        site_name=parts.settings.site_name,
        greeting=parts.settings.greeting,
        hostname=parts.hostname,
        started_at=parts.started_at.isoformat(timespec="seconds"),
        schema_version=counts.schema_version,
        notes=counts.notes,
        attachments=counts.attachments,
        smtp_configured=bool(parts.settings.smtp_host),
    )
