"""What keeps a server that was restored from doing anything by itself: it is a copy, and its original is at work."""

from __future__ import annotations


def quiet_settings(major: int) -> dict[str, str]:
    """Settings of `postgresql.conf` that win over those of the original, for a server of this major version.

    No subscription goes to its publisher, where the original's place in the stream would move on without the original; no
    job of an extension wakes up; no trigger runs on a login or on what a person does there (from 17 on that can be said).
    """
    quiet = {
        "max_logical_replication_workers": "0",
        "cron.launch_active_jobs": "off",
        "timescaledb.max_background_workers": "0",
    }
    return {**quiet, "event_triggers": "off"} if major >= 17 else quiet
