"""What every command gets: the deployment folder, the console, and how errors are shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moorage.console import Console
from moorage.errors import InputError, MoorageError, places_of

if TYPE_CHECKING:
    from moorage.flow import Deployment
    from moorage.operations.cluster.opening import ContextChoice


class Context:
    """One invocation of the program."""

    def __init__(self, folder: Path, *, as_json: bool, quiet: bool, verbose: bool) -> None:
        self.folder = folder
        self.as_json = as_json
        self.console = Console(quiet=quiet, verbose=verbose, as_json=as_json)

    def deployment(self, environment: str, *, for_server: bool = False, may_lack_secrets: bool = False) -> Deployment:
        """The deployment of this folder, read and checked; with `for_server` it must be one for one server."""
        from moorage import flow

        return flow.open_deployment(self.folder, environment, for_server=for_server, may_lack_secrets=may_lack_secrets)

    def environment(self, name: str) -> str:
        """The environment that is meant, from the file alone: it must work although the rest has problems."""
        from moorage import flow

        return flow.chosen_environment(self.folder, name)

    def cluster_choice(self, environment: str, name: str, confirmed: str) -> ContextChoice | None:
        """What was said of the cluster, for an environment that is for one; None for one server."""
        from moorage import flow

        if not flow.is_for_cluster(self.folder, environment):
            if name or confirmed:
                raise InputError("this environment is for one server, which has no context", "leave out --context")
            return None
        from moorage.operations.cluster.opening import ContextChoice

        return ContextChoice(name, confirmed)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask before something is changed or deleted; without a person only --yes agrees."""
        if yes:
            return True
        if not self.console.is_interactive():
            raise MoorageError(f"{question} This needs an answer, and nobody is here to give it", "add --yes to agree")
        return self.console.ask(f"{question} [y/N]").lower() in ("y", "yes")

    def report_input_error(self, error: InputError) -> None:
        """All problems, one a line; as JSON when asked."""
        if self.as_json:
            self.console.data(
                {"ok": False, "error": error.message, "problems": [problem.as_data() for problem in error.problems]}
            )
        for problem in error.problems:
            self.console.failure(str(problem))
        if not error.problems:
            self.console.failure(error.message)
        else:
            self.console.detail(error.message)
        if error.hint:
            self.console.detail(error.hint)

    def report_mistake(self, error: Exception) -> None:
        """A mistake of this program: where it happened, and never a value, for any of them may be a secret."""
        places = places_of(error)
        message = f"moorage made a mistake ({places[-1]}); this is not your fault"
        hint = "please report it with what `moorage --version` says" + (
            "" if self.console.verbose else " and what the same command shows with `--verbose`"
        )
        output = "\n".join(places) if self.console.verbose else ""
        self.report_error(MoorageError(message, hint), output)

    def report_error(self, error: MoorageError, output: str = "") -> None:
        """One failure with its next step."""
        if self.as_json:
            self.console.data({"ok": False, "error": error.message, "hint": error.hint})
        self.console.failure(error.message)
        if output:
            self.console.detail("\n".join(output.splitlines()[-20:]))
        if error.hint:
            self.console.detail(f"→ {error.hint}")
