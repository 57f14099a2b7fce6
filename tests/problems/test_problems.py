"""Every mistake has its own message, at its own place, before anything is written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage import flow
from moorage.config.secrets import SecretStore
from moorage.errors import InputError
from moorage.sensitive import Sensitive

CASES_FILE = Path(__file__).parent / "cases.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(CASES_FILE.read_text(encoding="utf-8"))


def _snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def _messages(case: dict[str, Any], folder: Path) -> list[str]:
    (folder / "moorage.yaml").write_text(case["config"], encoding="utf-8")
    if "app" in case:
        (folder / "compose.yaml").write_text(case["app"], encoding="utf-8")
    for name, text in (case.get("files") or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, value in (case.get("secrets") or {}).items():
        SecretStore(folder, "compose").replace(name, Sensitive(value))
    before = _snapshot(folder)
    with pytest.raises(InputError) as raised:
        flow.validate(folder)
    assert _snapshot(folder) == before, "a bad configuration changed a file"
    for value in (case.get("secrets") or {}).values():
        assert value not in str(raised.value.problems)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_mistake_gets_its_message(case: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = _messages(case, tmp_path)
    if request.config.getoption("--update-messages"):
        case["messages"] = found
        return
    assert found == case["messages"]


def test_there_are_enough_cases_and_every_one_is_different() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert all(case["messages"] for case in CASES)


def test_the_cases_are_written_back_when_asked(request: pytest.FixtureRequest) -> None:
    """Not a check: the last step of --update-messages."""
    if not request.config.getoption("--update-messages"):
        pytest.skip("only with --update-messages")
    text = CASES_FILE.read_text(encoding="utf-8")
    header = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))

    class Dumper(yaml.SafeDumper):
        pass

    def represent(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, represent)
    body = yaml.dump(CASES, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    CASES_FILE.write_text(header + body.replace("\n- name:", "\n\n- name:"), encoding="utf-8")
