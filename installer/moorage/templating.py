"""The strict Jinja environment: a missing value is an error that names the template, never an empty text."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from moorage.assets import asset


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(asset("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the readers are configuration files, not browsers
    )


def render_template(name: str, view: Any) -> str:
    """Render `templates/<name>`; the template sees one object, `view`, with finished values."""
    return _environment().get_template(name).render(view=view)
