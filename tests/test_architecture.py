"""The fences of the house: which module may know which. Read from the imports, not from intentions."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "installer" / "moorage"

# Floors from the bottom up; a module imports only from its own floor or those before it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "sensitive"),
    ("assets", "console", "process", "documents", "yaml_reading", "formats", "quantities", "words", "templating", "durable", "unkept", "recovery_key", "tree", "validation", "host_facts"),
    ("config", "app", "stack", "carrying", "inference", "sites", "tiers",
     "backups.keys", "backups.failures", "backups.signing", "backups.manifest", "backups.records", "backups.plan", "backups.retention", "backups.health",
     "backups.physical.settings", "backups.moments", "backups.log_state"),
    ("targets.base", "targets.pgbackrest", "targets.routers", "targets.compose.names", "targets.compose.facts", "targets.compose.schedule", "targets.compose.fact_sheet",
     "targets.compose.edge", "targets.compose.host", "targets.compose.platform", "targets.compose.services", "targets.compose.backups", "targets.compose.archiving", "targets.compose.render",
     "targets.database_settings", "targets.backup_plan", "targets.builds", "targets.compose_data", "targets.parity_file", "targets.traefik_file", "targets.k8s", "parity"),
    ("targets.job_voice", "targets.job_recipe", "targets.lock", "targets.releases", "targets.reasons", "targets.private_files", "targets.compose.docker", "targets.compose.probe", "targets.compose.images", "targets.compose.job_image", "targets.compose.taken_volumes", "targets.compose.certificates",
     "targets.compose.plan", "targets.compose.created", "targets.compose.waiting", "targets.compose.rollout", "targets.compose.migration_lock", "targets.compose.jobs", "targets.compose.converge", "targets.compose.place", "targets.compose.exchange_mark", "targets.compose.deploy",
     "targets.compose.units", "targets.compose.job_runs", "targets.compose.bare_runs", "targets.cluster", "checks", "backups"),
    ("flow", "reading", "deployment_folder", "operations", "answers", "setup", "cli", "__main__"),
)  # fmt: skip
_PURE = (
    "targets.routers",
    "targets.traefik_file",
    "targets.database_settings",
    "targets.k8s",
    "targets.compose.render",
    "targets.compose.services",
    "targets.builds",
    "targets.compose.edge",
    "targets.compose.platform",
    "targets.backup_plan",
    "targets.compose.backups",
    "targets.compose.archiving",
    "targets.compose.host",
    "targets.compose.fact_sheet",
    "stack",
    "app",
)
_EFFECTS = {"subprocess", "socket", "http", "urllib.request", "moorage.process", "moorage.console"}
_ONLY_IN = {
    "typer": ("cli",),
    "jinja2": ("templating",),
    "yaml": ("yaml_reading", "formats"),
    "pydantic": ("config", "app", "validation"),
    "cryptography": ("config.authority", "config.certificates", "targets.compose.probe", "checks"),
    "bcrypt": ("config.password_entry",),
    "dns": ("checks",),
    "boto3": ("backups",),
    "psycopg": ("backups",),
    "kubernetes": ("targets.cluster",),
}
_LATE = {"cryptography", "bcrypt", "dns", "boto3", "psycopg", "kubernetes", "rich"}


def _modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _floor(name: str) -> int:
    best, found = -1, -1
    for number, names in enumerate(FLOORS):
        for known in names:
            if (name == known or name.startswith(f"{known}.")) and len(known) > best:
                best, found = len(known), number
    return found


def _all_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in tree.body if top_level_only else ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_a_module_knows_only_what_is_below_it(path: Path) -> None:
    name = _name(path)
    own = _floor(name)
    assert own >= 0, f"{name} stands on no floor: add it to FLOORS"
    for imported in _imports(path):
        if imported.startswith("moorage."):
            other = imported.removeprefix("moorage.")
            floor = _floor(other)
            if floor >= 0:
                assert floor <= own, f"{name} (floor {own}) imports {other} (floor {floor})"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    name = _name(path)
    for imported in _imports(path):
        library = imported.partition(".")[0]
        allowed = _ONLY_IN.get(library)
        if allowed is not None:
            assert name.startswith(allowed), f"{library} is imported in {name}"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    for imported in _imports(path, top_level_only=True):
        assert imported.partition(".")[0] not in _LATE, f"{imported} at the top of {_name(path)} makes --help slow"


@pytest.mark.parametrize("path", [path for path in _modules() if _name(path).startswith(_PURE)], ids=_name)
def test_rendering_touches_nothing(path: Path) -> None:
    found = set(_imports(path)) & _EFFECTS
    assert not found, f"{_name(path)} imports {found}"


@pytest.mark.parametrize(
    "path", [path for path in _modules() if _floor(_name(path)) == 4 and _name(path).startswith("targets")], ids=_name
)
def test_deploying_knows_neither_config_nor_stack(path: Path) -> None:
    for imported in _imports(path):
        assert not imported.startswith(("moorage.config", "moorage.stack", "moorage.app")), (
            f"{_name(path)} imports {imported}"
        )


def test_only_the_console_prints() -> None:
    for path in _modules():
        if _name(path) in ("console", "cli.app"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", _name(path)


def test_names_that_say_nothing_are_not_used() -> None:
    for path in PACKAGE.rglob("*"):
        assert path.stem not in ("utils", "util", "helpers", "helper", "common", "manager", "misc"), path


def test_every_module_says_what_it_is_for() -> None:
    for path in _modules():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, f"{_name(path)} has no docstring"


def test_code_and_assets_stay_apart() -> None:
    for folder in ("templates", "k8s", "terraform"):
        assert not list((ROOT / folder).rglob("*.py")), folder
    for path in PACKAGE.rglob("*"):
        assert path.suffix not in (".yaml", ".yml", ".j2", ".sql", ".sh", ".tf", ".hcl"), path


def test_help_is_quick_because_nothing_heavy_is_loaded() -> None:
    import subprocess
    import sys

    script = "import sys; from moorage.cli import app; print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"pydantic", "yaml", "jinja2", "cryptography", "rich", "boto3", "kubernetes", "psycopg"}


def test_no_modules_lean_on_each_other() -> None:
    """Not for types only either: modules in a circle are one module in several files."""
    known = {_name(path) for path in _modules()}
    graph = {_name(path): {name.removeprefix("moorage.") for name in _all_imports(path)} & known for path in _modules()}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle: {' → '.join(error.args[1])}")


def _needed_by(name: str) -> Iterator[tuple[str, str]]:
    """Every import of a module and of all modules of ours that it needs: (module, what it imports)."""
    known = {_name(path): path for path in _modules()}
    todo, seen = [name], set()
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        for imported in _imports(known[module]):
            yield module, imported
            other = imported.removeprefix("moorage.")
            todo += [other] if imported.startswith("moorage.") and other in known else []


@pytest.mark.parametrize("name", [_name(path) for path in _modules() if _name(path).startswith("backups.")])
def test_the_backup_job_needs_only_what_its_image_has(name: str) -> None:
    for module, imported in _needed_by(name):
        library = imported.partition(".")[0]
        assert library in sys.stdlib_module_names | {"moorage", "psycopg", "boto3", "botocore"}, (
            f"{module} imports {imported}"
        )
