"""Commands that hold environments side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moorage.cli.context import Context


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(parity)


def parity(
    context: typer.Context,
    environment: Annotated[
        list[str] | None,
        typer.Option("--environment", "-e", help="An environment to compare; may be repeated. Default: all of them."),
    ] = None,
    all_rows: Annotated[bool, typer.Option("--all-rows", help="Show what is the same, too.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the whole matrix as a page into this file.")
    ] = None,
) -> None:
    """Prove from the rendered folders that all environments are the same app.

    Renders nothing. Exit status: 0 the same, or different for a written reason; 1 a difference that nobody explains.
    """
    from moorage.operations import comparing

    own: Context = context.obj
    found = comparing.comparison(own.folder, environment or (), own.console)
    if html is not None:
        comparing.write_page(found, html)
        own.console.success(f"{html} written")
    if own.as_json:
        own.console.data(comparing.as_data(found))
    else:
        comparing.show(found, own.console, all_rows=all_rows)
    if found.differences:
        raise typer.Exit(1)
