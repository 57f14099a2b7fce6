"""Commands that look at the server or change it: check, plan, up, down, status, logs, run, rollback, uninstall."""

from __future__ import annotations

from typing import Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import DryRun, Environment, Yes

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (check, plan, up, down, status, logs, rollback, uninstall):
        app.command()(command)
    app.command(name="run", context_settings=_PASS_ON)(run_command)


def check(context: typer.Context, environment: Environment = "") -> None:
    """Look whether this server can run the stack. Changes nothing.

    Exit status: 0 all good (warnings allowed), 1 something stands in the way, 2 the files are wrong.
    """
    from moorage.operations.checking import check as run_check

    own: Context = context.obj
    raise typer.Exit(run_check(own.deployment(environment, for_server=True), own.console))


def plan(
    context: typer.Context,
    environment: Environment = "",
    diff: Annotated[bool, typer.Option("--diff", help="Show the changed lines of the rendered files.")] = False,
) -> None:
    """Show what `up` would change: files, containers, downtime, risk for data.

    Exit status: 0 nothing, 2 changes, 1 it could not be found out.
    """
    from moorage.operations.planning import plan as run_plan

    own: Context = context.obj
    raise typer.Exit(run_plan(own.deployment(environment, for_server=True), own.console, show_diff=diff))


def up(
    context: typer.Context,
    environment: Environment = "",
    build: Annotated[bool, typer.Option("--build", help="Build the app's images again.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build without the cache.")] = False,
    skip_checks: Annotated[bool, typer.Option("--skip-checks", help="Go on although `check` has failures.")] = False,
    take_over_volumes: Annotated[
        bool,
        typer.Option(
            "--take-over-volumes", help="Use volumes whose label names another deployment: secrets were lost."
        ),
    ] = False,
    name: Annotated[
        str,
        typer.Option("--name", help="With --take-over-volumes and without a terminal: the deployment's name, typed."),
    ] = "",
    dry_run: DryRun = False,
) -> None:
    """Bring the stack up, or bring it to what moorage.yaml says. Safe to repeat and to interrupt.

    Exit status: 0 it runs, 1 it failed and the release before serves, 2 the files are wrong.
    """
    from moorage.operations.changing import TakeOver
    from moorage.operations.changing import up as run_up
    from moorage.operations.planning import plan as run_plan

    own: Context = context.obj
    if dry_run:
        raise typer.Exit(min(run_plan(own.deployment(environment, for_server=True), own.console, show_diff=False), 0))
    raise typer.Exit(
        run_up(
            own.folder,
            environment,
            own.console,
            build=build,
            no_cache=no_cache,
            skip_checks=skip_checks,
            take_over=TakeOver(take_over_volumes, name),
        )
    )


def down(context: typer.Context, environment: Environment = "", dry_run: DryRun = False) -> None:
    """Stop and remove the containers. Data, secrets and files stay; `up` brings everything back."""
    from moorage.operations.changing import down as run_down

    own: Context = context.obj
    run_down(own.folder, own.environment(environment), own.console, dry_run=dry_run)


def status(context: typer.Context, environment: Environment = "") -> None:
    """Show what runs and how it is.

    Exit status: 0 all green, 1 something is not.
    """
    from moorage.operations.observing import status as run_status

    own: Context = context.obj
    raise typer.Exit(run_status(own.folder, own.environment(environment), own.console))


def logs(
    context: typer.Context,
    service: Annotated[list[str] | None, typer.Argument(help="Services; default all.")] = None,
    environment: Environment = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[str, typer.Option(help="How many lines from the end.")] = "100",
    since: Annotated[str, typer.Option(help="Only since then, for instance 10m or 2026-11-22T03:00.")] = "",
) -> None:
    """Show what the containers say."""
    from moorage.operations.observing import logs as run_logs

    own: Context = context.obj
    raise typer.Exit(
        run_logs(
            own.folder, own.environment(environment), own.console, service or [], follow=follow, tail=tail, since=since
        )
    )


def run_command(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="The service whose image, environment and volumes are used.")],
    environment: Environment = "",
) -> None:
    """Run a command in a fresh container of a service: `moorage run web -- python manage.py shell`.

    Exit status: the command's.
    """
    from moorage.operations.observing import run_in_service

    own: Context = context.obj
    words = [word for word in context.args if word != "--"] if context.args[:1] == ["--"] else list(context.args)
    raise typer.Exit(run_in_service(own.folder, own.environment(environment), own.console, service, words))


def rollback(
    context: typer.Context,
    environment: Environment = "",
    to: Annotated[str, typer.Option(help="A release; default the one before. `moorage status` lists them.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Go back to an earlier release, without a pause. Database migrations stay as they are."""
    from moorage.operations.changing import rollback as run_rollback

    own: Context = context.obj
    name = own.environment(environment)
    raise typer.Exit(
        run_rollback(
            own.folder, name, own.console, to=to, confirm=lambda text: own.confirm(text, yes=yes), dry_run=dry_run
        )
    )


def uninstall(
    context: typer.Context,
    environment: Environment = "",
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete volumes, secrets and releases too. There is no way back.")
    ] = False,
    name: Annotated[
        str, typer.Option("--name", help="With --purge and without a terminal: the deployment's name, typed.")
    ] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Remove what runs. Volumes and secrets stay unless --purge is given and the deployment's name typed."""
    from moorage.operations.changing import uninstall as run_uninstall

    own: Context = context.obj
    raise typer.Exit(
        run_uninstall(
            own.folder,
            own.environment(environment),
            own.console,
            purge=purge,
            typed_name=name,
            confirm=lambda text: own.confirm(text, yes=yes),
            dry_run=dry_run,
        )
    )
