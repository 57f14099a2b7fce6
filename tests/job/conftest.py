"""What stands here runs inside the backup job's image: `tests/docker/test_job_parts.py` starts it there, a file each.

A file may say which options of `docker run` it needs, in a line `# docker run: --network none --user postgres`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore_glob = [] if Path("/opt/moorage/moorage").is_dir() else ["test_*.py"]

if not collect_ignore_glob:
    from moorage.backups.plan import DatabasePlan, StorePlan
    from tests.job.live_server import live_server, make_database
    from tests.job.night_site import NightSite, new_site
    from tests.job.quick_keys import quick_keys

SCRIPT = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
INSERT INTO notes (body) SELECT repeat(md5(n::text), 20) FROM generate_series(1, 3000) AS n;
"""


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Most of the time that these tests would take is that of deriving keys."""
    with quick_keys():
        yield


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield make_database(server, "notes", SCRIPT)


@pytest.fixture
def site(tmp_path: Path, database: DatabasePlan) -> NightSite:
    return new_site(tmp_path, database)


@pytest.fixture
def two(tmp_path: Path, database: DatabasePlan) -> NightSite:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    return new_site(tmp_path, database, *(StorePlan(folder.name, directory=str(folder)) for folder in folders))
