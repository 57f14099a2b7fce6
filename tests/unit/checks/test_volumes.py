"""Volumes: ours, another deployment's, or nobody's."""

import json
from collections.abc import Mapping

import pytest

from moorage.checks import volumes
from moorage.checks.asking import Answer
from moorage.checks.volumes import VolumeFacts
from tests.unit.checks.samples import ScriptedEngine, lines, needs

DATA, ROUTES, OURS = "acme_postgres-data", "acme_edge-routes", "aaaaaaaaaaaa"
SILENT = (
    "warning",
    "not looked at, because the Docker engine does not answer",
    "mend what `engine` says above, then `moorage check` again",
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (VolumeFacts(), ("ok", "0 of 2 exist, none of another deployment", "")),
        (VolumeFacts({DATA: OURS, ROUTES: ""}), ("ok", "2 of 2 exist, none of another deployment", "")),
        (
            VolumeFacts({DATA: "bbbbbbbbbbbb", ROUTES: ""}),
            (
                "failure",
                "acme_postgres-data belongs to another deployment (bbbbbbbbbbbb, this one is aaaaaaaaaaaa)",
                "put that deployment's `secrets/` folder back here, or choose another `name`; if it is this one and "
                "its secrets are lost for good: `moorage up --take-over-volumes`; only if its data is rubbish: `docker volume rm acme_postgres-data`",
            ),
        ),
        (
            VolumeFacts({DATA: ""}),
            (
                "failure",
                "acme_postgres-data exists and belongs to no deployment of moorage",
                "to use its data, write `external: true` and `name: acme_postgres-data` at that volume of the Compose "
                "file; else choose another `name`; only if its data is rubbish: `docker volume rm acme_postgres-data`",
            ),
        ),
        (
            VolumeFacts(error="`docker volume inspect` did not finish within 5 seconds"),
            (
                "warning",
                "whose the volumes are is not known: `docker volume inspect` did not finish within 5 seconds",
                "`docker volume ls --filter name=acme` must show nothing, or volumes of this deployment",
            ),
        ),
        (VolumeFacts(engine_answers=False), SILENT),
    ],
)
def test_judge(facts: VolumeFacts, expected: tuple[str, str, str]) -> None:
    assert lines(volumes.judge(facts, needs())) == [expected]


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ({"theirs": ""}, ("ok", "0 of 2 exist, none of another deployment", "")),
        ({"theirs": "bbbbbbbbbbbb", DATA: OURS}, ("ok", "1 of 2 exist, none of another deployment", "")),
        (
            {DATA: OURS},
            (
                "failure",
                "the external volume theirs does not exist",
                "write its right name in the Compose file, or begin with an empty one: `docker volume create theirs`",
            ),
        ),
    ],
)
def test_an_external_volume_must_exist_and_may_be_anybodys(
    owners: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert lines(volumes.judge(VolumeFacts(owners), needs(external_volumes=("theirs",)))) == [expected]


def test_a_foreign_volume_leads_to_the_name() -> None:
    (found,) = volumes.judge(VolumeFacts({DATA: "bbbbbbbbbbbb"}), needs())
    assert found.key == ("name",)


def answer(labels: Mapping[str, object], error: str = "") -> Answer:
    return Answer(json.dumps([{"Name": name, "Labels": item} for name, item in labels.items()]), error, bool(error))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            answer({DATA: {"moorage.deployment": OURS}, ROUTES: None}),
            VolumeFacts({DATA: OURS, ROUTES: ""}),
        ),
        (
            answer({DATA: {}}, "Error response from daemon: get acme_edge-routes: no such volume"),
            VolumeFacts({DATA: ""}),
        ),
        (Answer("[]", "Error response from daemon: get x: no such volume", 1), VolumeFacts()),
        (Answer("", "it did not finish", -1), VolumeFacts(error="it did not finish")),
        (Answer("{"), VolumeFacts(error="`docker volume inspect` answers in an unknown form")),
    ],
)
def test_gather(given: Answer, expected: VolumeFacts) -> None:
    assert volumes.gather((DATA, ROUTES), ScriptedEngine(answers={"volume inspect": given})) == expected


def test_gather_asks_nothing_without_need() -> None:
    assert volumes.gather((), ScriptedEngine()) == VolumeFacts()
    assert volumes.gather((DATA,), ScriptedEngine(error="gone")) == VolumeFacts(engine_answers=False)
