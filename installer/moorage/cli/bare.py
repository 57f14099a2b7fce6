"""`moorage restore --bare`: on a machine that has nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from moorage.cli.context import Context
from moorage.cli.options import Environment, Yes
from moorage.errors import InputError
from moorage.sensitive import Sensitive


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(restore)


def restore(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="STORE", help="A folder, or s3://BUCKET/PREFIX.")],
    bare: Annotated[bool, typer.Option("--bare", help="Into an empty folder of a machine that has nothing.")] = False,
    backup: Annotated[
        str, typer.Argument(help="The name of a backup; default the newest good one.", show_default=False)
    ] = "",
    project: Annotated[str, typer.Option("--project", help="Which deployment, where the store has several.")] = "",
    recovery_key_file: Annotated[
        Optional[Path],  # noqa: UP045 - read at run time, where Python 3.10 needs this form
        typer.Option("--recovery-key-file", help="A file with the recovery key; without it you are asked."),
    ] = None,
    credentials: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--credentials", help="An AWS credentials file with a [default] part, for a bucket."),
    ] = None,
    endpoint: Annotated[str, typer.Option("--endpoint", help="Address of an S3-compatible service.")] = "",
    region: Annotated[str, typer.Option("--region", help="Region of the bucket.")] = "us-east-1",
    postgres_image: Annotated[
        str, typer.Option("--postgres-image", help="What the first job image is built from.")
    ] = "postgres:17",
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="TIME", help="The database at this moment, by WAL; `newest` for all that there is."
        ),
    ] = "",
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Only to see: leave the stores to the server that writes to them.")
    ] = False,
    yes: Yes = False,
    environment: Environment = "",
) -> None:
    """Bring a whole deployment back from a store and the recovery key: folder, databases, volumes, site.

    With `-e` it comes up as another environment of the same moorage.yaml: a cluster's backup as a server.

    Exit status: 0 it runs, 1 you said no, 2 the options are wrong, else that of the reason.
    """
    from moorage.operations.bare import Wish, restore_bare
    from moorage.operations.bare_source import read_source

    own: Context = context.obj
    if not bare:
        raise InputError(
            "on the server itself it is `moorage backup restore`", "on a machine that has nothing: `--bare`"
        )
    wish = Wish(
        source=read_source(source, endpoint, region, credentials),
        project=project,
        key=_key(recovery_key_file, own),
        backup=backup,
        at=at,
        environment=environment,
        base_image=postgres_image,
        is_rehearsal=rehearsal,
    )
    status = restore_bare(own.folder, own.console, wish, lambda question: own.confirm(question, yes=yes))
    raise typer.Exit(status)


def _key(file: Path | None, own: Context) -> Sensitive:
    """The recovery key, from a file or typed without an echo."""
    import getpass

    if file is not None:
        try:
            return Sensitive(file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{file} can't be read", "a text file with the 14 groups of the recovery key") from None
    if not own.console.is_interactive():
        raise InputError("the recovery key is needed, and nobody is here to type it", "`--recovery-key-file FILE`")
    return Sensitive(getpass.getpass("The recovery key (14 groups of four letters): "))
