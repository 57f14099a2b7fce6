"""Commands that end what runs or go back: down, rollback, uninstall."""

from __future__ import annotations

from typing import Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import ContextName, DryRun, Environment, Yes, YesContext


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (down, rollback, uninstall):
        app.command()(command)


def down(
    context: typer.Context,
    environment: Environment = "",
    cluster: ContextName = "",
    yes_context: YesContext = "",
    dry_run: DryRun = False,
) -> None:
    """Stop and remove the containers. Data, secrets and files stay; `up` brings everything back."""
    from moorage.operations.changing import down as run_down

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.changing import down as down_cluster

        down_cluster(own.folder, own.environment(environment), own.console, choice, dry_run=dry_run)
        return
    run_down(own.folder, own.environment(environment), own.console, dry_run=dry_run)


def rollback(
    context: typer.Context,
    environment: Environment = "",
    to: Annotated[str, typer.Option(help="A release; default the one before. `moorage status` lists them.")] = "",
    cluster: ContextName = "",
    yes_context: YesContext = "",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Go back to an earlier release, without a pause. Database migrations stay as they are."""
    from moorage.operations.changing import rollback as run_rollback

    own: Context = context.obj
    name = own.environment(environment)
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.changing import rollback as rollback_cluster

        raise typer.Exit(
            rollback_cluster(
                own.folder,
                name,
                own.console,
                choice,
                to=to,
                confirm=lambda text: own.confirm(text, yes=yes),
                dry_run=dry_run,
            )
        )
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
    cluster: ContextName = "",
    yes_context: YesContext = "",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Remove what runs. Volumes and secrets stay unless --purge is given and the deployment's name typed."""
    from moorage.operations.changing import uninstall as run_uninstall

    own: Context = context.obj
    choice = own.cluster_choice(environment, cluster, yes_context)
    if choice is not None:
        from moorage.operations.cluster.changing import uninstall as uninstall_cluster

        raise typer.Exit(
            uninstall_cluster(
                own.folder,
                own.environment(environment),
                own.console,
                choice,
                purge=purge,
                typed_name=name,
                confirm=lambda text: own.confirm(text, yes=yes),
                dry_run=dry_run,
            )
        )
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
