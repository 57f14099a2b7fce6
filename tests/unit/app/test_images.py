"""Well-known images: which ones are databases that moorage can run."""

from __future__ import annotations

import pytest

from moorage.app.images import image_kind, pinned_postgres, postgres_major, repository, tag

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "name", "its_tag"),
    [
        ("postgres", "postgres", ""),
        ("postgres:16", "postgres", "16"),
        ("docker.io/library/postgres:15", "library/postgres", "15"),
        ("registry.example.com:5000/a/b", "a/b", ""),
        ("registry.example.com:5000/a/b:1", "a/b", "1"),
        ("localhost/web:1", "web", "1"),
        (f"redis@{DIGEST}", "redis", ""),
        (f"redis:7@{DIGEST}", "redis", "7"),
        ("acme/web", "acme/web", ""),
    ],
)
def test_a_reference_is_taken_apart(image: str, name: str, its_tag: str) -> None:
    assert (repository(image), tag(image)) == (name, its_tag)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("postgres:16", "postgres"),
        ("docker.io/postgres", "postgres"),
        ("docker.io/library/postgres:15-alpine", "postgres"),
        ("pgvector/pgvector:pg16", "postgres"),
        ("postgis/postgis:16-3.4", "postgres"),
        ("redis:7", "redis"),
        ("valkey/valkey:8", "redis"),
        ("bitnami/postgresql:16", ""),
        ("bitnami/redis", ""),
        ("timescale/timescaledb:latest-pg16", ""),
        ("redis/redis-stack:latest", ""),
        ("acme/postgres:16", ""),
        ("postgrest/postgrest", ""),
        ("mysql:8", ""),
        ("nginx", ""),
    ],
)
def test_only_images_that_keep_the_contract_of_the_official_ones_are_known(image: str, kind: str) -> None:
    assert image_kind(image) == kind


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("postgres:16", 16),
        ("postgres:16.4", 16),
        ("postgres:15-alpine", 15),
        ("postgres:17.0-bookworm", 17),
        ("postgres:9.6", 9),
        ("postgres", None),
        ("postgres:latest", None),
        ("postgres:alpine", None),
        (f"postgres@{DIGEST}", None),
        (f"postgres:14@{DIGEST}", 14),
        ("pgvector/pgvector:pg16", 16),
        ("pgvector/pgvector:0.8.0-pg17", 17),
        ("pgvector/pgvector:latest", None),
        ("postgis/postgis:15-3.4-alpine", 15),
    ],
)
def test_the_major_version_is_read_from_the_tag(image: str, major: int | None) -> None:
    assert postgres_major(image) == major


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        ("postgres", "postgres:17"),
        ("postgres:latest", "postgres:17"),
        ("postgres:alpine", "postgres:17-alpine"),
        ("localhost:5000/postgres", "localhost:5000/postgres:17"),
        ("docker.io/library/postgres:latest", "docker.io/library/postgres:17"),
        ("pgvector/pgvector:latest", "pgvector/pgvector:pg17"),
        ("postgres:bookworm", ""),
        ("postgres:alpine3.20", ""),
        ("postgis/postgis:latest", ""),
        ("pgvector/pgvector:alpine", ""),
        (f"postgres@{DIGEST}", ""),
        (f"postgres:latest@{DIGEST}", ""),
    ],
)
def test_an_image_that_floats_is_pinned_only_to_a_tag_that_is_known_to_exist(image: str, pinned: str) -> None:
    assert pinned_postgres(image, "17") == pinned
