"""What `parity.json` of a rendered folder says: own values, what moorage.yaml and the app's file say about differences."""

from __future__ import annotations

from typing import Any

from moorage.parity.facts import Facts
from moorage.parity.rendered import PARITY_FILE, Rendered


def begin(rendered: Rendered) -> Facts:
    """Facts that nothing is noted in yet."""
    content: dict[str, Any] = rendered.document(PARITY_FILE)
    differences = content.get("differences") or {}
    return Facts(
        rendered.environment,
        rendered.target,
        own={str(name): str(value) for name, value in (content.get("own") or {}).items()},
        settings={str(name): str(value) for name, value in (content.get("settings") or {}).items()},
        reasons={str(name): str(item.get("why", "")) for name, item in differences.items()},
        declared={str(name): dict(item.get("values") or {}) for name, item in differences.items()},
        lacking=tuple(str(name) for name in content.get("lacking") or ()),
        absent=frozenset(str(name) for name, item in differences.items() if not item.get("here", True)),
    )


def note(facts: Facts, rendered: Rendered) -> None:
    """What the app's file asks and this target has no means for."""
    for subject, fields in (rendered.document(PARITY_FILE).get("asked") or {}).items():
        for name, value in fields.items():
            facts.ask(subject, name, value)
