"""`moorage secrets`: list, set, copy, show; values come from standard input, never from an argument."""

from __future__ import annotations

from typing import Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import Environment, Yes

group = typer.Typer(help="Secrets of an environment.", no_args_is_help=True, rich_markup_mode=None)


@group.command("list")
def list_secrets(context: typer.Context, environment: Environment = "") -> None:
    """Show which secrets there are and which are missing; never their values."""
    from moorage.operations.secret_keeping import rows as secret_rows

    own: Context = context.obj
    rows = secret_rows(own.folder, own.environment(environment))
    if own.as_json:
        own.console.data([{"name": name, "state": state, "why": why} for name, state, why in rows])
        return
    own.console.table(("secret", "state", "for"), rows)


@group.command("set")
def set_secret(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The variable's name.")],
    environment: Environment = "",
) -> None:
    """Set a secret; its value is asked for, or read from standard input."""
    from moorage.operations.secret_keeping import set_value as run_set

    own: Context = context.obj
    run_set(own.folder, own.environment(environment), own.console, name)


@group.command("copy")
def copy_secrets(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="ENVIRONMENT", help="Whose secrets.")],
    environment: Environment = "",
    yes: Yes = False,
) -> None:
    """Give an environment the app's own secrets of another one, so that it can serve the other's data.

    Passwords of databases, keys of stores and what belongs to the proxy are not copied. Exit status: 0 they are the same now, 1
    you said no or there is nothing to copy.
    """
    from moorage.operations.moving import copy_secrets as run_copy

    own: Context = context.obj
    target, named = own.environment(environment), own.environment(source)
    raise typer.Exit(run_copy(own.folder, named, target, own.console, lambda question: own.confirm(question, yes=yes)))


@group.command("show")
def show_secret(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The variable's name.")],
    environment: Environment = "",
) -> None:
    """Print one secret on standard output."""
    from moorage.operations.secret_keeping import show as run_show

    own: Context = context.obj
    run_show(own.folder, own.environment(environment), own.console, name)


@group.command("recovery-key")
def recovery_key(context: typer.Context) -> None:
    """Print the recovery key with a text to keep apart from this server."""
    from moorage.operations.secret_keeping import show_recovery_key

    own: Context = context.obj
    show_recovery_key(own.folder, own.console)
