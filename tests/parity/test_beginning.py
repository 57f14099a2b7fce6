"""What `moorage init` writes is one app in all environments, also while secrets lack that only the operator has."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage import flow
from moorage.cli.app import main
from moorage.console import Console
from moorage.operations import comparing
from moorage.parity.compare import Comparison
from tests.parity.deployments import build

_STORE = "backups: {stores: [{name: off-site, bucket: acme-backups, endpoint: 'https://s3.example.com'}]}\n"


def _compared(folder: Path) -> Comparison:
    for environment in flow.names_of_environments(folder):
        deployment = flow.open_deployment(folder, environment, write_secrets=True, may_lack_secrets=True)
        rendering = flow.render(deployment.stack)
        rendering.private.write(deployment.private_folder)
        rendering.public.write(deployment.rendered_folder)
    return comparing.comparison(folder, (), Console(quiet=True), build)


@pytest.mark.parametrize("more", ["", _STORE])
def test_what_lacks_is_told_and_is_no_difference(tmp_path: Path, more: str) -> None:
    words = ["--app", "notes", "--domain", "notes.example.com", "--email", "a@example.com", "--yes"]
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), "init", *words])
    assert ended.value.code == 0
    with (tmp_path / "moorage.yaml").open("a", encoding="utf-8") as file:
        file.write(more)
    found = _compared(tmp_path)
    assert len(found.environments) == 4
    assert [comparing.difference_text(row, found.environments) for row in found.differences] == []
    told = {reason for row in found.rows for reason in row.reasons}
    assert "eks-beta has no value yet for CF_DNS_API_TOKEN" in told
