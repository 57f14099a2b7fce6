"""All environments of every golden case are the same app, and what differs has its reason."""

from __future__ import annotations

import re

import pytest

from moorage.operations import comparing
from moorage.parity.allowed import ALLOWED
from moorage.parity.compare import compare
from tests.parity.conftest import Cases
from tests.parity.deployments import CASE_FOLDERS

# No golden case has them: an own override file, and a class of snapshots of somebody else.
_WITHOUT_A_CASE = {"An own file of the operator", "Snapshots"}


@pytest.mark.parametrize("name", sorted(CASE_FOLDERS))
def test_nothing_differs_without_a_reason(name: str, rendered_case: Cases) -> None:
    environments = rendered_case(name)
    found = compare([comparing.facts_of(item) for item in environments], ALLOWED)
    assert [comparing.difference_text(row, found.environments) for row in found.differences] == []
    assert len(found.of("same")) > 100
    if len(environments) == 1:
        pytest.fail(f"{name} has nothing to be held against")


@pytest.mark.parametrize("name", ["notes", "opensail", "bring-your-own"])
def test_what_the_issue_names_is_among_the_facts(name: str, rendered_case: Cases) -> None:
    """Image, command, environment, ports, routes, mounts, probes, limits, replicas, users, parameters, logs, network."""
    for environment in rendered_case(name):
        facts = comparing.facts_of(environment)
        fields = {key.field for key in facts.values}
        for pattern in (
            "image", r"environment\..+", r"port\.\d+/tcp", "priority", r"mount\./.+", r"file\./.+", r"health\.interval",
            r"limit\.memory", r"request\.memory", "replicas", "capabilities", "read-only root", "no new privileges",
            r"parameter\.shared_buffers", r"parameter\.maxmemory", "log", "stop grace", r"name\..+", "rollout", "restart",
            r"service .+ → .+", r".+ → outside", r"outside 80/tcp → proxy", "schedule",
        ):  # fmt: skip
            assert any(re.fullmatch(pattern, field) for field in fields), (environment.environment, pattern)


def test_no_secret_is_among_the_facts(rendered_case: Cases) -> None:
    for environment in rendered_case("bring-your-own"):
        values = " ".join(comparing.facts_of(environment).values.values())
        for secret in ("blog-database-password", "admin-token-value"):
            assert secret not in values
        assert "a secret" in values


def test_every_reason_is_a_sentence_for_people() -> None:
    for item in ALLOWED:
        assert item.why[0].isupper() or item.why.split()[0] in ("ingress-nginx", "cert-manager", "systemd"), item.why
        assert item.why.endswith("."), item.why


def test_every_reason_is_needed_by_a_golden_case(rendered_case: Cases) -> None:
    used: set[str] = set()
    for name in CASE_FOLDERS:
        found = compare([comparing.facts_of(item) for item in rendered_case(name)], ALLOWED)
        used |= {reason for row in found.rows for reason in row.reasons}
    unused = {item.why for item in ALLOWED} - used
    assert {why.partition(":")[0].partition(",")[0] for why in unused} <= _WITHOUT_A_CASE
