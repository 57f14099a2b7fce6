"""`moorage restore --bare`: on a machine that has nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from moorage.cli.context import Context
from moorage.cli.options import Yes
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
    yes: Yes = False,
) -> None:
    """Bring a whole deployment back from a store and the recovery key: folder, databases, volumes, site.

    Exit status: 0 it runs, 1 you said no, 2 the options are wrong, else that of the reason.
    """
    from moorage.operations.bare import read_source, restore_bare

    own: Context = context.obj
    if not bare:
        raise InputError(
            "on the server itself it is `moorage backup restore`", "on a machine that has nothing: `--bare`"
        )
    status = restore_bare(
        own.folder,
        own.console,
        source=read_source(source, endpoint, region, credentials),
        project=project,
        key=_key(recovery_key_file, own),
        backup=backup,
        base=postgres_image,
        confirm=lambda question: own.confirm(question, yes=yes),
    )
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
