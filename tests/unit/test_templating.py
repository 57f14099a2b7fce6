"""The strict Jinja environment: what is missing is an error, never an empty text."""

from __future__ import annotations

from types import SimpleNamespace

import jinja2
import pytest

from moorage.assets import asset
from moorage.templating import render_template

TEMPLATES = sorted(path.relative_to(asset("templates")).as_posix() for path in asset("templates").rglob("*.j2"))


def test_there_are_templates() -> None:
    assert "traefik/traefik.yaml.j2" in TEMPLATES


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_refuses_a_view_that_lacks_its_values(name: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_template(name, SimpleNamespace())


def test_an_unknown_template_is_an_error() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        render_template("nothing.j2", {})


def test_values_are_not_escaped_as_for_a_browser_and_the_last_line_ends() -> None:
    text = render_template("redis/redis.conf.j2", {"data_memory": 1, "policy": "<&>'\""})
    assert "maxmemory-policy <&>'\"\n" in text
    assert text.endswith("\n")


def test_lines_of_logic_leave_no_blank_lines_behind() -> None:
    view = {"basis": "b", "parameters": [{"name": "a", "quoted": "1"}, {"name": "b", "quoted": "2"}]}
    text = render_template("postgres/postgresql.conf.j2", view)
    assert text.endswith("listen_addresses = '*'\na = '1'\nb = '2'\n")
