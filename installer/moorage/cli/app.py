"""The doorway: global options, the commands, and the one place that catches errors."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from moorage import __version__
from moorage.cli import backup, bare, compare, ending, operate, prepare, secret
from moorage.cli.context import Context
from moorage.errors import CommandFailed, InputError, MoorageError, refused_by_the_system

app = typer.Typer(
    name="moorage",
    help="Bring an app up on one server, keep it safe, move it on when it outgrows that.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
prepare.register(app)
compare.register(app)
operate.register(app)
ending.register(app)
bare.register(app)
app.add_typer(secret.group, name="secrets")
app.add_typer(backup.group, name="backup")

# Options of the program that people also write after the command.
_ANYWHERE = ("--json", "--quiet", "-q", "--verbose", "-v")


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"moorage {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    directory: Annotated[Path, typer.Option("-C", "--directory", help="The deployment folder.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every command that is run, and every notice.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        Optional[bool],  # noqa: UP045 - read at run time, where Python 3.10 needs this form
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = None,
) -> None:
    """Options of all commands."""
    context.obj = Context(directory, as_json=as_json, quiet=quiet, verbose=verbose)


def main(arguments: list[str] | None = None) -> None:
    """Run the program; errors become a message, a next step and an exit status."""
    _collect_garbage_rarely()
    words = _in_front(sys.argv[1:] if arguments is None else arguments)
    context = Context(Path(), as_json="--json" in words, quiet=False, verbose="--verbose" in words or "-v" in words)
    try:
        status = app(args=words, standalone_mode=False)
    except InputError as error:
        context.report_input_error(error)
        sys.exit(error.exit_status)
    except MoorageError as error:
        context.report_error(error, output=error.output if isinstance(error, CommandFailed) else "")
        sys.exit(error.exit_status)
    except typer.TyperException as error:
        context.report_error(MoorageError(error.format_message(), "`moorage --help`, or `moorage COMMAND --help`"))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort, EOFError):
        context.console.failure("stopped; run the same command again to go on")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        # Libraries derive errors of their own from it, which the system knows nothing about.
        if error.errno is None:
            context.report_mistake(error)
        else:
            context.report_error(refused_by_the_system(error))
        sys.exit(1)
    except Exception as error:
        context.report_mistake(error)
        sys.exit(1)
    gc.freeze()  # The interpreter would look through every object once more before it lets go of all of them.
    sys.exit(status if isinstance(status, int) else 0)


def _collect_garbage_rarely() -> None:
    """Loading makes many objects that stay: looking for garbage among them is a sixth of a short command's time."""
    gc.set_threshold(100_000)


def _in_front(words: list[str]) -> list[str]:
    """Global options moved before the command; what follows `--` belongs to another program."""
    end = words.index("--") if "--" in words else len(words)
    moved = [word for word in words[:end] if word in _ANYWHERE]
    return [*moved, *(word for word in words[:end] if word not in _ANYWHERE), *words[end:]]
