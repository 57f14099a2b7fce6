"""The wheel carries everything: installed apart from the checkout, it renders every golden case to the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_RENDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import moorage.assets
assert "_assets" in str(moorage.assets.assets_root()), moorage.assets.assets_root()
from tests.golden.test_golden import CASES, render_case
from moorage.config.loading import environment_names, load_document
count = 0
for case in CASES:
    for environment in environment_names(load_document(case)):
        _, rendering = render_case(case, Path(sys.argv[2]) / case.name / environment, environment)
        difference = rendering.public.compare(case / "expected" / environment)
        assert not difference.added and not difference.changed, (case.name, difference)
        count += 1
print(count)
"""


@pytest.mark.slow
@pytest.mark.docker
def test_the_installed_wheel_renders_the_same(tmp_path: Path) -> None:
    """Marked docker because it needs the network for the dependencies, like the rest of that group."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path / "dist"), str(ROOT)],
        check=True,
    )
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    wheel = next((tmp_path / "dist").glob("moorage-*.whl"))
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel), "pytest"], check=True)
    done = subprocess.run(
        [str(python), "-c", _RENDER, str(ROOT), str(tmp_path / "cases")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 7
    version = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "moorage"), "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.startswith("moorage ")
