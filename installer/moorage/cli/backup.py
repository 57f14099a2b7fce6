"""`moorage backup …`: run, list, show, verify, drill, prune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import DryRun, Environment, Yes
from moorage.errors import MoorageError

group = typer.Typer(help="Backups, each proven by a restore.", no_args_is_help=True, rich_markup_mode=None)

Identifier = Annotated[str, typer.Argument(help="The name of a backup, as `list` shows it.", show_default=False)]
Newest = Annotated[
    str, typer.Argument(help="The name of a backup, as `list` shows it; default the newest.", show_default=False)
]
Store = Annotated[str, typer.Option("--store", help="Which store; default the first that has it.", show_default=False)]


@group.command()
def run(
    context: typer.Context,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="This server goes on for another one, which is gone, or its database was begun anew."
        ),
    ] = False,
    environment: Environment = "",
) -> None:
    """Make a backup now, restore it into a throw-away database, compare, and keep it only as good when all fits.

    Exit status: 0 it is good, else that of the reason; `docs/backups.md` lists them.
    """
    from moorage.operations.backing_up import run as run_night

    own: Context = context.obj
    name = own.environment(environment)
    raise typer.Exit(run_night(own.folder, name, own.console, take_over=take_over))


@group.command("list")
def list_backups(context: typer.Context, environment: Environment = "") -> None:
    """Show the backups of all stores, their state, and why each is kept.

    Exit status: 0, or 1 when a store does not answer.
    """
    from moorage.operations.backing_up import show_list

    own: Context = context.obj
    raise typer.Exit(show_list(own.folder, own.environment(environment), own.console))


@group.command()
def show(context: typer.Context, backup: Identifier, environment: Environment = "") -> None:
    """Show everything that is known of one backup."""
    from moorage.operations.backing_up import show_one

    own: Context = context.obj
    raise typer.Exit(show_one(own.folder, own.environment(environment), own.console, backup))


@group.command()
def verify(
    context: typer.Context,
    backup: Annotated[
        str, typer.Argument(help="Ask of this backup only, as `list` shows it; default all.", show_default=False)
    ] = "",
    store: Annotated[str, typer.Option("--store", help="Which store; default all.", show_default=False)] = "",
    percent: Annotated[
        float, typer.Option("--percent", min=0.1, max=100, help="How much of the bytes of restic's repository to read.")
    ] = 100,
    environment: Environment = "",
) -> None:
    """Read stores back without restoring; a copy that is damaged counts as good no longer.

    Looked at are, per store: the signatures of all records, verdicts and manifests, whether each record has its snapshot
    and that the manifest which it names, the bytes of restic's repository, and the cluster's backups with their log. Whether
    a dump can be restored is what a drill tells.

    Exit status: 0 all is whole, else that of the first thing that is not.
    """
    from moorage.operations.backing_up import verify as run_verify

    own: Context = context.obj
    raise typer.Exit(run_verify(own.folder, own.environment(environment), own.console, backup, store, percent))


@group.command()
def drill(context: typer.Context, backup: Newest = "", store: Store = "", environment: Environment = "") -> None:
    """Restore a backup into a throw-away database without a network, compare it, and write the verdict."""
    from moorage.operations.backing_up import drill as run_drill

    own: Context = context.obj
    raise typer.Exit(run_drill(own.folder, own.environment(environment), own.console, backup, store))


@group.command()
def prune(
    context: typer.Context, store: Store = "", yes: Yes = False, dry_run: DryRun = False, environment: Environment = ""
) -> None:
    """Delete what `backups.retention` does not ask for. Each night does that by itself."""
    from moorage.operations.backing_up import prune as run_prune

    own: Context = context.obj
    if not dry_run and not own.confirm("Delete the backups that retention does not ask for?", yes=yes):
        raise typer.Exit(1)
    raise typer.Exit(run_prune(own.folder, own.environment(environment), own.console, store, dry_run=dry_run))


@group.command()
def restore(
    context: typer.Context,
    backup: Annotated[
        str, typer.Argument(help="The name of a backup; default the newest good one.", show_default=False)
    ] = "",
    store: Store = "",
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="The database at this moment, `2026-11-22T14:05:00+01:00`, by WAL."),
    ] = "",
    into: Annotated[
        str, typer.Option("--into", metavar="NAME", help="Only the databases, beside what runs, under this name.")
    ] = "",
    of: Annotated[
        str,
        typer.Option(
            "--of", metavar="ENVIRONMENT", help="A backup of this environment; default the one restored into."
        ),
    ] = "",
    keep_secrets: Annotated[
        bool,
        typer.Option(
            "--keep-secrets", help="Go on although the app's secrets are not those of the backup's environment."
        ),
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Put back what a restore has moved aside.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete what a restore has kept aside.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    environment: Environment = "",
) -> None:
    """Bring a backup back: restored and compared beside what runs, then swapped; nothing is deleted.

    With `--into` nothing is swapped: the databases stay under that name, to look into. With `--of` the data of another
    environment come here, from a store that both name: from a server into a cluster, or back. Exit status: 0 it is done, 1 you said
    no, else that of the reason.
    """
    from moorage.operations import restoring

    own: Context = context.obj
    name = own.environment(environment)

    def confirm(question: str) -> bool:
        return own.confirm(question, yes=yes)

    if undo + discard + bool(into) > 1 or ((at or of) and (undo or discard)):
        raise MoorageError("`--undo`, `--discard` and a restore are three things", "one of them at a time")
    if at and of:
        raise MoorageError("a moment is found by the log of the very environment", "leave out `--at` or `--of`")
    wanted = restoring.Wanted(backup, store, at, own.environment(of) if of else "", keep_secrets)
    if undo:
        raise typer.Exit(restoring.undo(own.folder, name, own.console, backup=backup, confirm=confirm))
    if discard:
        raise typer.Exit(restoring.discard(own.folder, name, own.console, backup=backup, confirm=confirm))
    if into:
        copied = restoring.restore_copy(own.folder, name, own.console, wanted, into=into, dry_run=dry_run)
        raise typer.Exit(copied)
    raise typer.Exit(restoring.restore(own.folder, name, own.console, wanted, confirm=confirm, dry_run=dry_run))


@group.command()
def restores(context: typer.Context, environment: Environment = "") -> None:
    """Show what restores keep aside, and how far each is.

    Exit status: 0, or 1 when one was cut off half way.
    """
    from moorage.operations.restoring import show_restores

    own: Context = context.obj
    raise typer.Exit(show_restores(own.folder, own.environment(environment), own.console))


@group.command()
def export(
    context: typer.Context,
    into: Annotated[Path, typer.Option("--into", help="The folder to write to; made when missing.")],
    backup: Annotated[
        str, typer.Argument(help="The name of a backup; default the newest good one.", show_default=False)
    ] = "",
    store: Store = "",
    environment: Environment = "",
) -> None:
    """Write a backup as plain files: dumps, volumes and the deployment folder, decrypted, with RESTORE.md."""
    from moorage.operations.exporting import export as run_export

    own: Context = context.obj
    name = own.environment(environment)
    raise typer.Exit(run_export(own.folder, name, own.console, backup=backup, store=store, target=into))


@group.command("import")
def import_dump(
    context: typer.Context,
    dump: Annotated[
        Path,
        typer.Argument(help="Plain SQL of pg_dump or pg_dumpall, or `pg_dump -Fc`; also packed by gzip, xz or zstd."),
    ],
    database: Annotated[
        str, typer.Option("--database", help="Which database it becomes; default the app's first.", show_default=False)
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Which database of a pg_dumpall; default the one of the same name.", show_default=False
        ),
    ] = "",
    yes: Yes = False,
    environment: Environment = "",
) -> None:
    """Put a dump of another tool in the place of the app's database: carried out in a throw-away server first."""
    from moorage.operations.importing import import_dump as run_import

    own: Context = context.obj
    name = own.environment(environment)
    raise typer.Exit(
        run_import(
            own.folder,
            name,
            own.console,
            dump=dump,
            database=database,
            source=source,
            confirm=lambda question: own.confirm(question, yes=yes),
        )
    )


@group.command()
def schedule(context: typer.Context, environment: Environment = "") -> None:
    """Show when nights run, and the crontab line for a host without systemd.

    Exit status: 0, or 1 when no timer is installed.
    """
    from moorage.operations.backing_up import show_schedule

    own: Context = context.obj
    raise typer.Exit(show_schedule(own.folder, own.environment(environment), own.console))
