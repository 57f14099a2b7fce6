"""The pages are true: links lead somewhere, commands parse, files validate, quoted messages exist, references are fresh."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from moorage import flow
from moorage.cli.app import main
from moorage.config.secrets import SecretStore
from moorage.errors import InputError
from moorage.sensitive import Sensitive
from tests.pages import ROOT, Page, SourceTexts, command_lines, dead_links, quoted_messages, read_page

NAMES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md")))
)
# What the examples are called: services, databases and apps that stand for the reader's own.
EXAMPLES = frozenset(
    (
        "web",
        "worker",
        "app",
        "proxy",
        "status",
        "db",
        "cache",
        "migrate",
        "notes",
        "shop",
        "postgres",
        "redis",
        "traefik",
    )
)
# What the examples find beside their Compose file.
FILES = (".env", "nginx.conf", "www/index.html", "company-ca.pem", "tls/fullchain.pem", "tls/privkey.pem")
KINDS = ("moorage.yaml", "compose.yaml", "overrides/compose.yaml")
BASE: Mapping[str, Any] = {"name": "acme", "domain": "notes.example.com", "tls": {"mode": "internal-ca"}}


@cache
def page(name: str) -> Page:
    return read_page(name, (ROOT / name).read_text(encoding="utf-8"))


def pages() -> dict[str, Page]:
    return {name: page(name) for name in NAMES}


# --- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    assert dead_links(page(name), pages()) == []


@pytest.mark.parametrize("target", ["docs/nowhere.md", "docs/tls.md#nothing-of-that-name", "#nothing-here"])
def test_a_dead_link_is_noticed(target: str) -> None:
    broken = read_page("README.md", f"# Title\n\nSee [it]({target}) and [this](docs/tls.md#no-tls).\n")
    (problem,) = dead_links(broken, pages())
    assert problem.startswith(f"README.md:3: {target}")


def test_every_page_is_found_from_the_table_of_contents() -> None:
    linked = {target.partition("#")[0] for _, target in page("docs/README.md").links()}
    missing = {path.name for path in ROOT.glob("docs/*.md")} - linked - {"README.md"}
    assert not missing, f"docs/README.md does not name {missing}"


# --- generated pages -----------------------------------------------------------------------------------------------


def _generate(docs: Path, *arguments: str) -> int:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    module.DOCS = docs
    return int(module.main(arguments))


def test_the_reference_pages_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    status = _generate(ROOT / "docs", "--check")
    assert status == 0, capsys.readouterr().err


def test_a_stale_reference_page_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _generate(tmp_path)
    (tmp_path / "commands.md").write_text("moorage down: starts everything", encoding="utf-8")
    assert _generate(tmp_path, "--check") == 1
    assert capsys.readouterr().err == "docs/commands.md is out of date: `make docs` writes it anew\n"


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The real program with its real options, stopped before it does anything: gives what it has against a line."""
    monkeypatch.setattr(typer.core.TyperCommand, "invoke", lambda self, context: None)
    monkeypatch.setattr("typer.completion.install", lambda shell=None: ("bash", "nowhere"))

    def complaint(arguments: list[str]) -> str:
        capsys.readouterr()
        try:
            main(arguments)
        except SystemExit as stop:
            said = capsys.readouterr().err
            # A group by its name alone (`moorage secrets`) shows its commands.
            return said if stop.code and not said.startswith("✗ Usage:") else ""
        return ""

    yield complaint


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_one_that_the_program_knows(name: str, parser: Any) -> None:
    wrong = []
    for line, arguments in command_lines(page(name), "moorage"):
        complaint = parser(arguments)
        if complaint:
            wrong.append(f"{name}:{line}: moorage {' '.join(arguments)}: {complaint}")
    assert not wrong, "\n".join(wrong)


def test_the_pages_have_commands_to_check() -> None:
    assert sum(1 for name in NAMES for _ in command_lines(page(name), "moorage")) > 100


@pytest.mark.parametrize(
    "line", ["moorage upp", "moorage up --fast", "cd /srv && sudo moorage secrets get NAME | cat", "A=b moorage run"]
)
def test_a_command_that_does_not_exist_is_noticed(line: str, parser: Any) -> None:
    for text in (f"```sh\n{line}\n```\n", f"```console\n$ {line}\nout\n```\n", f"Run `{line}` now.\n"):
        ((_, arguments),) = command_lines(read_page("x.md", text), "moorage")
        assert parser(arguments), f"nobody complains about {line}"


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_exists(name: str) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = [
        f"{name}:{line}: make {word}" for line, (word, *_) in command_lines(page(name), "make") if word not in known
    ]
    assert not wrong


# --- files ---------------------------------------------------------------------------------------------------------


def _yaml_blocks() -> Iterator[Any]:
    for name in NAMES:
        for block in page(name).blocks:
            if block.info == "yaml":
                yield pytest.param(page(name), block.line, block.text, id=f"{name}:{block.line}")


def _kind(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ").strip()


def _problems(folder: Path, source: Page, text: str) -> list[str]:
    """What `moorage validate` has against a block. A part of a file is completed by what stands above it.

    The app of a moorage.yaml is the first Compose file of the page, else notes.
    """
    apps = [block.text for block in source.blocks if _kind(block.text) == "compose.yaml"]
    written = yaml.safe_load(text)
    kind = _kind(text)
    config = {**BASE, "app": "./compose.yaml" if apps or kind == "compose.yaml" else "notes"}
    for file in FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x=y\n", encoding="utf-8")
    compose = text if kind == "compose.yaml" else apps[0] if apps else ""
    if compose:
        (folder / "compose.yaml").write_text(compose, encoding="utf-8")
        config |= _of_the_app(yaml.safe_load(compose), compose)
    if kind == "overrides/compose.yaml":
        (folder / "overrides").mkdir()
        (folder / "overrides/compose.yaml").write_text(text, encoding="utf-8")
    config |= written if kind == "moorage.yaml" else {}
    (folder / "moorage.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return _validated(folder)


def _of_the_app(compose: dict[str, Any], text: str) -> dict[str, Any]:
    """What `init` would write for a Compose file: the secrets, and a route if the file has none."""
    variables = re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", text)
    config: dict[str, Any] = {"secrets": sorted(set(variables))}
    if "route:" not in text:
        config["routes"] = {next(iter(compose["services"])): {"port": 80}}
    return config


def _validated(folder: Path) -> list[str]:
    try:
        for environment in flow.names_of_environments(folder):
            for need in flow.secret_needs_of(folder, environment):
                if not need.generator:
                    SecretStore(folder, environment).replace(need.name, Sensitive("x" * 32))
        flow.validate(folder)
    except InputError as error:
        return [str(problem) for problem in error.problems] or [str(error)]
    return []


@pytest.mark.parametrize(("source", "line", "text"), list(_yaml_blocks()))
def test_every_yaml_block_is_a_file_that_validates(source: Page, line: int, text: str, tmp_path: Path) -> None:
    assert _kind(text) in KINDS, f"{source.name}:{line}: the first line must say which file this is: {KINDS}"
    problems = _problems(tmp_path, source, text)
    assert not problems, f"{source.name}:{line}:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "text",
    [
        "# moorage.yaml\ntls: {mode: letsencript}\n",
        "# moorage.yaml\nedge: {adress: 127.0.0.1}\n",
        "# moorage.yaml\nenvironments: {staging: {images: {tagg: next}}}\n",
        "# compose.yaml\nservices:\n  web: {image: nginx, network_mode: host}\n",
        "# compose.yaml\nservices:\n  web: {image: nginx, x-moorage: {rout: {paths: [/]}}}\n",
    ],
)
def test_a_yaml_block_that_is_wrong_is_noticed(text: str, tmp_path: Path) -> None:
    assert _problems(tmp_path, read_page("x.md", f"```yaml\n{text}```\n"), text)


# --- messages ------------------------------------------------------------------------------------------------------


@cache
def source_texts() -> SourceTexts:
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "installer").rglob("*.py"))]
    return SourceTexts([*sources, *(f"text = {text!r}" for text in _texts_of_apps())])


def _texts_of_apps() -> Iterator[str]:
    """What the built-in apps have moorage say of their jobs."""
    for file in ROOT.glob("compose/apps/*/compose.yaml"):
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["x-moorage"].get("jobs", {}).values():
            yield job.get("describe", "")


@pytest.mark.parametrize("name", NAMES)
def test_every_quoted_message_is_one_that_the_program_says(name: str) -> None:
    wrong = []
    for line, message in quoted_messages(page(name)):
        words = source_texts().unexplained(message, EXAMPLES)
        if words:
            wrong.append(f"{name}:{line}: {message}\n    not in the source: {' '.join(words)}")
    assert not wrong, "\n".join(wrong)


def test_troubleshooting_quotes_messages() -> None:
    assert sum(1 for _ in quoted_messages(page("docs/troubleshooting.md"))) > 40


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ moorage up\n✗ web did not become ready in time\n```\n",
        "```console\n$ moorage up\nall is well\n✗ nothing to undo: what runs is what moorage.yaml says\n```\n",
        "| message | what to do |\n| --- | --- |\n| `the certificate … has been lost somewhere` | look |\n",
    ],
)
def test_a_message_that_nobody_says_is_noticed(text: str) -> None:
    ((_, message),) = quoted_messages(read_page("x.md", text))
    assert source_texts().unexplained(message, EXAMPLES)


# --- the map of the repository -------------------------------------------------------------------------------------


def test_every_path_that_contributing_names_exists() -> None:
    tops = {path.name for path in ROOT.iterdir()}
    wrong = []
    for line, code in page("CONTRIBUTING.md").spans():
        is_path = code.partition("/")[0] in tops and re.fullmatch(r"[\w./-]+/[\w./-]*", code) is not None
        if is_path and "NAME" not in code and not (ROOT / code).exists():
            wrong.append(f"CONTRIBUTING.md:{line}: {code}")
    assert not wrong
