"""What an environment can do as a whole: rows that a person looks for, told from the facts that prove them."""

from __future__ import annotations

from moorage.parity.facts import Facts

SUBJECT = "capability"


def note(facts: Facts) -> None:
    """Whether visitors come by HTTPS, whether a restore reaches any moment, whether disks have snapshots."""
    fields = {(key.subject, key.field) for key in facts.values}
    has_https = any(field == "certificate" for _, field in fields)
    has_log = any(field.startswith("plan.physical.") for _, field in fields)
    has_snapshots = any(subject.startswith("object VolumeSnapshotClass ") for subject, _ in fields)
    has_snapshots = has_snapshots or "volumesnapshots" in facts.get("nodes", "minikube.addons").split(", ")
    facts.note(SUBJECT, "TLS", "HTTPS" if has_https else "HTTP only")
    facts.note(SUBJECT, "point-in-time restore", has_log)
    facts.note(SUBJECT, "snapshots of disks", has_snapshots)
