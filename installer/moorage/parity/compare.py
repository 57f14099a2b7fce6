"""Facts of several environments held side by side: what is the same, what may differ and why, what nobody explains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from moorage.parity import by_settings
from moorage.parity.facts import Facts, Key, same
from moorage.parity.reasons import Allowed, Pair

_WORDS = re.compile(r"[^A-Za-z0-9_]+")
Verdict = Literal["same", "own", "allowed", "lacking", "different"]


@dataclass(frozen=True)
class Row:
    """One fact in all environments, in their order; `reasons` are those of all differences that have one."""

    key: Key
    values: tuple[str, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    unexplained: tuple[tuple[str, str], ...] = ()

    def as_data(self, environments: Sequence[str]) -> dict[str, object]:
        """For `--json`."""
        return {
            "subject": self.key.subject,
            "field": self.key.field,
            "values": dict(zip(environments, self.values, strict=True)),
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "unexplained": [list(pair) for pair in self.unexplained],
        }


@dataclass(frozen=True)
class Comparison:
    """All rows, by subject and field."""

    environments: tuple[str, ...]
    rows: tuple[Row, ...]

    def of(self, *verdicts: Verdict) -> tuple[Row, ...]:
        """The rows with one of these verdicts."""
        return tuple(row for row in self.rows if row.verdict in verdicts)

    @property
    def differences(self) -> tuple[Row, ...]:
        """What nobody explains."""
        return self.of("different")


def compare(environments: Sequence[Facts], allowed: Sequence[Allowed]) -> Comparison:
    """Every fact that any of them has, in each of them."""
    missing = missing_facts(environments, allowed)
    keys = sorted({key for facts in environments for key in facts.values} | missing.keys())
    rows = tuple(missing.get(key) or compare_key(key, environments, allowed) for key in keys)
    return Comparison(tuple(facts.environment for facts in environments), rows)


def missing_facts(environments: Sequence[Facts], allowed: Sequence[Allowed]) -> dict[Key, Row]:
    """What an environment must have by a reason, and has not: as rows that nobody explains."""
    found: dict[Key, Row] = {}
    for facts in environments:
        for item in allowed:
            for key in item.missing(facts):
                values = tuple(other.of(key) for other in environments)
                pair = ((facts.environment, f"{facts.target} must have it"),)
                found[key] = Row(key, values, "different", (), pair)
    return found


def compare_key(key: Key, environments: Sequence[Facts], allowed: Sequence[Allowed]) -> Row:
    """One fact in all environments."""
    values = tuple(facts.of(key) for facts in environments)
    reasons: dict[str, None] = {}
    unexplained: list[tuple[str, str]] = []
    lacks = False
    for one, other in combinations(environments, 2):
        if same(one, other, key):
            if (key in one.asked and key not in other.asked) or (key in other.asked and key not in one.asked):
                reasons[_asked(one if key in one.asked else other)] = None
            continue
        found = _reason(Pair(key, one, other), allowed)
        if found is None:
            unexplained.append((one.environment, other.environment))
        else:
            reasons[found[0]] = None
            lacks = lacks or found[1]
    explained: Verdict = "own" if _is_of_one_kind(key, environments) else "allowed"
    verdict: Verdict = "different" if unexplained else "lacking" if lacks else explained if reasons else "same"
    return Row(key, values, verdict, tuple(reasons), tuple(unexplained))


def _is_of_one_kind(key: Key, environments: Sequence[Facts]) -> bool:
    """Whether only servers or only clusters have it, and all of them the same."""
    servers = {facts.of(key) for facts in environments if facts.target == "compose"}
    clusters = {facts.of(key) for facts in environments if facts.target != "compose"}
    return len(servers) == len(clusters) == 1 and "" in servers | clusters


def _reason(pair: Pair, allowed: Sequence[Allowed]) -> tuple[str, bool] | None:
    """Why two values may differ, and whether one of both environments lacks something; None when nobody says."""
    for item in allowed:
        if item.explains(pair):
            return item.why, item.capability
    asked = by_settings.explanation(pair) or _not_given_yet(pair)
    if asked is not None:
        return asked
    return _by_app(pair)


def _not_given_yet(pair: Pair) -> tuple[str, bool] | None:
    """The secret that only the operator can give, where one environment shows that it has none."""
    for facts in (pair.left_facts, pair.right_facts):
        shown = facts.of(pair.key)
        for name in facts.lacking:
            if (not shown and name in _WORDS.split(pair.key.field)) or f"without {name}" in shown:
                return f"{facts.environment} has no value yet for {name}", True
    return None


def _by_app(pair: Pair) -> tuple[str, bool] | None:
    """The reason that the app's file gives for what its `environment`, `replicas` or `targets` change."""
    subject = pair.key.subject
    sides = (pair.left_facts, pair.right_facts)
    service = next((name for facts in sides if (name := facts.get(subject, "of"))), subject.removeprefix("service "))
    why = next((facts.reasons[service] for facts in sides if service in facts.reasons), "")
    if why and all(_is_as_declared(facts, service, pair) for facts in sides):
        return f"the app's file: {why}", False
    for facts in sides:
        for name, reason in facts.reasons.items():
            if _is_of(pair, name) and _is_on_one_side_only(pair, name):
                return f"the app's file: {reason}", False
    return None


def _is_as_declared(facts: Facts, service: str, pair: Pair) -> bool:
    """Whether a value is the very one that the app's file gives the service on this target."""
    declared = facts.declared.get(service, {})
    return declared.get(pair.key.field) == facts.values.get(pair.key, "")


def _is_of(pair: Pair, service: str) -> bool:
    words = (*pair.key.subject.split(), *pair.key.field.split(), pair.left, pair.right)
    return service in words or f"service {service}" in (pair.left.rpartition(":")[0], pair.right.rpartition(":")[0])


def _is_on_one_side_only(pair: Pair, service: str) -> bool:
    """Whether the app's file wants it on one of both targets only, and it is on that one."""
    sides = [
        (service in facts.absent, bool(facts.get(f"service {service}", "image")))
        for facts in (pair.left_facts, pair.right_facts)
    ]
    return sorted(sides) == [(False, True), (True, False)]


def _asked(facts: Facts) -> str:
    return f"{facts.target} has no means for it; the app's file asks the same"
