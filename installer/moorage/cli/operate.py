"""Commands that look at the server or change it: check, plan, up, status, logs, run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import ContextName, DryRun, Environment, YesContext

if TYPE_CHECKING:
    from moorage.operations.cluster.opening import ContextChoice

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (check, plan, up, status, logs):
        app.command()(command)
    app.command(name="run", context_settings=_PASS_ON)(run_command)


def check(
    context: typer.Context, environment: Environment = "", cluster: ContextName = "", yes_context: YesContext = ""
) -> None:
    """Look whether this server, or the cluster, can run the stack. Changes nothing.

    Exit status: 0 all good (warnings allowed), 1 something stands in the way, 2 the files are wrong.
    """
    from moorage.operations.checking import check as run_check

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.checking import check as check_cluster

        raise typer.Exit(check_cluster(own.deployment(environment, may_lack_secrets=True), own.console, choice))
    raise typer.Exit(run_check(own.deployment(environment, for_server=True), own.console))


def plan(
    context: typer.Context,
    environment: Environment = "",
    diff: Annotated[bool, typer.Option("--diff", help="Show the changed lines of the rendered files.")] = False,
    cluster: ContextName = "",
    yes_context: YesContext = "",
) -> None:
    """Show what `up` would change: files, containers or objects, downtime, risk for data.

    Exit status: 0 nothing, 2 changes, 1 it could not be found out.
    """
    from moorage.operations.planning import plan as run_plan

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        raise typer.Exit(_plan_cluster(own, environment, choice, show_diff=diff))
    raise typer.Exit(run_plan(own.deployment(environment, for_server=True), own.console, show_diff=diff))


def _plan_cluster(own: Context, environment: str, choice: ContextChoice, *, show_diff: bool) -> int:
    from moorage.operations.cluster.planning import plan as plan_cluster

    return plan_cluster(own.deployment(environment, may_lack_secrets=True), own.console, choice, show_diff=show_diff)


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
    cluster: ContextName = "",
    yes_context: YesContext = "",
    dry_run: DryRun = False,
) -> None:
    """Bring the stack up, or bring it to what moorage.yaml says. Safe to repeat and to interrupt.

    Exit status: 0 it runs, 1 it failed and the release before serves, 2 the files are wrong.
    """
    from moorage.operations.changing import TakeOver
    from moorage.operations.changing import up as run_up
    from moorage.operations.planning import plan as run_plan

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.changing import up as up_cluster

        if dry_run:
            raise typer.Exit(_plan_cluster(own, environment, choice, show_diff=False) % 2)
        raise typer.Exit(
            up_cluster(
                own.folder,
                environment,
                own.console,
                choice,
                build=build,
                no_cache=no_cache,
                skip_checks=skip_checks,
                take_over=take_over_volumes,
                typed_name=name,
            )
        )
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


def status(
    context: typer.Context, environment: Environment = "", cluster: ContextName = "", yes_context: YesContext = ""
) -> None:
    """Show what runs and how it is.

    Exit status: 0 all green, 1 something is not.
    """
    from moorage.operations.observing import status as run_status

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.observing import status as cluster_status

        raise typer.Exit(cluster_status(own.folder, own.environment(environment), own.console, choice))
    raise typer.Exit(run_status(own.folder, own.environment(environment), own.console))


def logs(
    context: typer.Context,
    service: Annotated[list[str] | None, typer.Argument(help="Services; default all.")] = None,
    environment: Environment = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[str, typer.Option(help="How many lines from the end.")] = "100",
    since: Annotated[str, typer.Option(help="Only since then, for instance 10m or 2026-11-22T03:00.")] = "",
    cluster: ContextName = "",
    yes_context: YesContext = "",
) -> None:
    """Show what the containers say."""
    from moorage.operations.observing import logs as run_logs

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.observing import logs as cluster_logs

        name = own.environment(environment)
        raise typer.Exit(
            cluster_logs(own.folder, name, own.console, choice, service or [], follow=follow, tail=tail, since=since)
        )
    raise typer.Exit(
        run_logs(
            own.folder, own.environment(environment), own.console, service or [], follow=follow, tail=tail, since=since
        )
    )


def run_command(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="The service whose image, environment and volumes are used.")],
    environment: Environment = "",
    cluster: ContextName = "",
    yes_context: YesContext = "",
) -> None:
    """Run a command in a fresh container of a service: `moorage run web -- python manage.py shell`.

    Exit status: the command's.
    """
    from moorage.operations.observing import run_in_service

    own: Context = context.obj
    words = [word for word in context.args if word != "--"] if context.args[:1] == ["--"] else list(context.args)
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.observing import run_in_service as run_in_pod

        raise typer.Exit(run_in_pod(own.folder, own.environment(environment), own.console, choice, service, words))
    raise typer.Exit(run_in_service(own.folder, own.environment(environment), own.console, service, words))
