"""Paths and annotations of ingress-nginx, read back."""

from __future__ import annotations

import pytest

from moorage.parity.ingress_nginx import PathRead, read_path

_ANY = "ImplementationSpecific"
_STRIPS = {"use-regex": "true", "rewrite-target": "/$2"}


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("/", {}, PathRead("below", "/")),
        ("/files", {}, PathRead("below", "/files")),
        (r"/old\.files", {}, PathRead("below", "/old.files")),
        (r"/robots\.txt$", {}, PathRead("just", "/robots.txt")),
        ("/files(/|$)(.*)", _STRIPS, PathRead("below", "/files", "/files")),
        (r"/old\.files(/|$)(.*)", _STRIPS, PathRead("below", "/old.files", "/old.files")),
        ("/files(/|$)(live.*)", _STRIPS, PathRead("below", "/files/live", "/files")),
        ("/files(/|$)(one)$", _STRIPS, PathRead("just", "/files/one", "/files")),
        ("/{0}(?:/|%2F)+api$", {"use-regex": "true"}, PathRead("like", "(?i)^(?:/|%2F)+api$")),
    ],
)
def test_what_is_understood_to_the_letter_gets_the_words_of_every_target(
    text: str, options: dict[str, str], expected: PathRead
) -> None:
    assert read_path(text, _ANY, options, is_expression=True) == expected


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("/files(/|$)(.*)", {"use-regex": "true"}),
        ("/files(/|$)(.*)", {**_STRIPS, "rewrite-target": "/$1"}),
        ("/files(/|$)(.*)", {**_STRIPS, "use-regex": "false"}),
        ("/fi.es(/|$)(.*)", _STRIPS),
        ("/fi.es", {}),
        ("/fi.es$", {}),
        ("/{0}(?:/|%2F)+api$", {}),
    ],
)
def test_anything_else_stays_as_it_is_written(text: str, options: dict[str, str]) -> None:
    assert read_path(text, _ANY, options, is_expression=True) == PathRead("below", text)


def test_a_host_without_expressions_takes_its_paths_literally() -> None:
    assert read_path("/robots.txt", "Exact", {}, is_expression=False) == PathRead("just", "/robots.txt")
    assert read_path("/one$", _ANY, {}, is_expression=False) == PathRead("below", "/one$")
    assert read_path("/one", "Strange", {}, is_expression=False) == PathRead("Strange", "/one")
