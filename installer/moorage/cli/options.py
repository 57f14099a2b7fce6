"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Environment = Annotated[
    str,
    typer.Option(
        "--environment",
        "-e",
        envvar="MOORAGE_ENVIRONMENT",
        help="Which environment; default the target's name.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, do nothing.")]
ContextName = Annotated[
    str,
    typer.Option(
        "--context",
        help="For a cluster: another context of the kubeconfig than the configured one.",
        show_default=False,
    ),
]
YesContext = Annotated[
    str,
    typer.Option(
        "--yes-context",
        help="Without a terminal: the context's name again, where it needs to be confirmed.",
        show_default=False,
    ),
]
