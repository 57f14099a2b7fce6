"""Commands that touch nothing but files: init, validate, schema, render, tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from moorage.cli.context import Context
from moorage.cli.options import Environment


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, validate, schema, render, tune):
        app.command()(command)


def init(
    context: typer.Context,
    app: Annotated[str | None, typer.Option(help="A built-in app, or the path of a Compose file.")] = None,
    domain: Annotated[str | None, typer.Option(help="The host name of the site.")] = None,
    email: Annotated[str | None, typer.Option(help="Who the certificate authority writes to.")] = None,
    target: Annotated[str | None, typer.Option(help="compose, minikube or eks.")] = None,
    tls: Annotated[str | None, typer.Option(help="letsencrypt, files, internal-ca, behind-proxy or off.")] = None,
    name: Annotated[str | None, typer.Option(help="The deployment's name.")] = None,
    source: Annotated[
        str | None, typer.Option(help="A source checkout of the app; its images are built from it.")
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Where the app's images are pulled from, for instance ghcr.io/acme.")
    ] = None,
    wildcard: Annotated[bool, typer.Option(help="Whether every subdomain belongs to the app.")] = False,
    route: Annotated[
        list[str] | None, typer.Option(help="SERVICE:PORT of a Compose file's site; may be repeated.")
    ] = None,
    permit: Annotated[
        list[str] | None,
        typer.Option(help="docker_access=SERVICE, privileged=SERVICE or host_paths=PATH; may be repeated."),
    ] = None,
    answers: Annotated[Path | None, typer.Option(help="YAML file with the answers, for scripts.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, take the defaults.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Write moorage.yaml and make the secrets. Never overwrites.

    Exit status: 0 written, 2 an answer was wrong or the file exists already.
    """
    from moorage.answers import Answers
    from moorage.setup import initialise

    own: Context = context.obj
    given = Answers(
        app=app,
        domain=domain,
        email=email,
        target=target,
        tls=tls,
        name=name,
        source=source,
        registry=registry,
        wildcard=wildcard or None,
        routes=tuple(route or ()),
        permit=tuple(permit or ()),
    )
    initialise(own.folder, own.console, given, answers_file=answers, ask=not yes, dry_run=dry_run)


def validate(context: typer.Context) -> None:
    """Check moorage.yaml and the app's file, all environments.

    Exit status: 0 clean, 2 problems; each is shown with file, line and column.
    """
    from moorage import flow
    from moorage.app.notices import for_people

    own: Context = context.obj
    deployments = flow.validate(own.folder)
    # Most notices are those of every environment.
    notices = dict.fromkeys(notice for item in deployments for notice in item.stack.notices)
    if own.as_json:
        told = [{"subject": item.subject, "text": item.text} for item in notices]
        own.console.data(
            {"ok": True, "problems": [], "environments": [item.environment for item in deployments], "notices": told}
        )
        return
    for notice in for_people(notices, with_minor=own.console.verbose):
        own.console.warning(f"{notice.subject}: {notice.text}")
    names = ", ".join(item.environment for item in deployments)
    own.console.success(f"moorage.yaml is right ({names})")


def schema(context: typer.Context) -> None:
    """Print the JSON Schema of moorage.yaml, for editors."""
    from moorage.config.json_schema import json_schema

    own: Context = context.obj
    own.console.data(json_schema())


def render(
    context: typer.Context,
    environment: Environment = "",
    everything: Annotated[bool, typer.Option("--all", help="Render every environment.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Write rendered/<environment>/. Changes nothing that runs.

    Exit status: 0 written; 1 with --all when `moorage parity` finds a difference that nobody explains.
    """
    from moorage import flow
    from moorage.operations.comparing import are_the_same
    from moorage.operations.rendering import write_rendering

    own: Context = context.obj
    names = flow.names_of_environments(own.folder) if everything else (environment,)
    results = [write_rendering(own.folder, name, own.console, dry_run=dry_run) for name in names]
    if own.as_json:
        own.console.data([result.as_data() for result in results])
    if everything and len(names) > 1 and not dry_run and not are_the_same(own.folder, own.console):
        raise typer.Exit(1)


def tune(
    context: typer.Context,
    environment: Environment = "",
    explain: Annotated[bool, typer.Option("--explain", help="Say why each value is what it is.")] = False,
) -> None:
    """Show the database's parameters."""
    from moorage.stack.model import BundledPostgres

    own: Context = context.obj
    stack = own.deployment(environment).stack
    if not isinstance(stack.postgres, BundledPostgres):
        own.console.warning("there is no bundled Postgres in this stack")
        return
    parameters = stack.postgres.parameters
    if own.as_json:
        own.console.data(
            {
                "basis": stack.postgres.basis,
                "parameters": [{"name": item.name, "value": item.value, "why": item.why} for item in parameters],
            }
        )
        return
    own.console.detail(stack.postgres.basis)
    if explain:
        own.console.table(("parameter", "value", "why"), [(item.name, item.value, item.why) for item in parameters])
    else:
        own.console.table(("parameter", "value"), [(item.name, item.value) for item in parameters])
