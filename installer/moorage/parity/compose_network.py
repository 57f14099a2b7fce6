"""Who reaches whom on a server: by Docker's networks, and from outside by published ports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.parity.facts import Facts
from moorage.parity.words import EVERY_PORT

SUBJECT = "network"
# Nobody asks for the name of what runs to its end.
_REACHED = ("always", "unless-stopped")


def note(
    facts: Facts,
    services: Mapping[str, dict[str, Any]],
    subjects: Mapping[str, str],
    networks_of_file: Mapping[str, Any],
    entries: Mapping[str, str],
) -> None:
    """The names of every service, and an edge of the graph for every pair that reaches each other.

    `entries` has the proxy's entry points by the address where they listen.
    """
    internal = {name for name, settings in networks_of_file.items() if (settings or {}).get("internal")}
    members = {name: _joined(services, data) for name, data in services.items()}
    for network in sorted({item for joined in members.values() for item in joined}):
        facts.note(f"network {network}", "way out", network not in internal)
    for name, data in services.items():
        subject, networks = subjects[name], members[name]
        if not subject.startswith(("job ", "backup")) and data.get("restart", "no").partition(":")[0] in _REACHED:
            _names(facts, subject, name, data)
        for other, others in members.items():
            if other != name and (networks & others):
                facts.note(SUBJECT, f"{subject} → {subjects[other]}", EVERY_PORT)
        if subject == "Docker's proxy":
            facts.note(
                subject,
                "reached by",
                sorted(subjects[item] for item, of in members.items() if item != name and networks & of),
            )
        facts.note(SUBJECT, f"{subject} → outside", "everywhere" if networks - internal else "")
        facts.note(SUBJECT, f"{subject} → names", bool(networks))
        _sharing(facts, subject, data, subjects)
        _published(facts, subject, data, entries)
        for network in data.get("networks") or {}:
            facts.note(
                subject, f"network.{network}", "member" if network in networks_of_file else "one that is not there"
            )


def _joined(services: Mapping[str, dict[str, Any]], data: Mapping[str, Any]) -> set[str]:
    mode = str(data.get("network_mode", ""))
    if mode.startswith("service:"):
        return _joined(services, services.get(mode.removeprefix("service:"), {}))
    if mode:
        return set()
    return set(data.get("networks") or {"default": {}})


def _names(facts: Facts, subject: str, name: str, data: Mapping[str, Any]) -> None:
    networks = data.get("networks")
    if data.get("network_mode") or not isinstance(networks, Mapping):
        return
    aliases = {alias for settings in networks.values() for alias in (settings or {}).get("aliases") or []}
    for known in sorted({name, *aliases}):
        facts.note(subject, f"name.{known}", "yes")


def _sharing(facts: Facts, subject: str, data: Mapping[str, Any], subjects: Mapping[str, str]) -> None:
    mode = str(data.get("network_mode", ""))
    if mode.startswith("service:"):
        facts.note(subject, "network of", subjects.get(mode.removeprefix("service:"), mode))
    elif mode not in ("", "none"):
        facts.note(subject, "network of", f"the {mode}")


def _published(facts: Facts, subject: str, data: Mapping[str, Any], entries: Mapping[str, str]) -> None:
    for port in data.get("ports") or []:
        outside = f"{port.get('published')}/{port.get('protocol', 'tcp')}"
        inside = port.get("target")
        to = entries.get(f":{inside}", inside) if subject == "proxy" else inside
        facts.note(SUBJECT, f"outside {outside} → {subject}", f"open → {to}")
        if port.get("host_ip") not in (None, "", "0.0.0.0"):  # noqa: S104 - compared only
            facts.note(SUBJECT, f"outside {outside} → {subject} at", port["host_ip"])
        if port.get("mode") != "host":
            facts.note(SUBJECT, f"outside {outside} → {subject} mode", port.get("mode", "ingress"))
