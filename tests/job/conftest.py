"""What stands here runs inside the backup job's image: `tests/docker/test_job_parts.py` starts it there, a file each.

A file may say which options of `docker run` it needs, in a line `# docker run: --network none --user postgres`.
"""

from __future__ import annotations

from pathlib import Path

collect_ignore_glob = [] if Path("/opt/moorage/moorage").is_dir() else ["test_*.py"]
