"""Commands inside of containers through the API: what goes in, what comes out, and the status at the end."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import from_answer

_SECONDS = 120.0
_ANSWER = re.compile(r'\{"kind":"Status".*\}')


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    errors: str


def open_stream(
    cluster: Cluster, namespace: str, pod: str, container: str, command: list[str] | None, **how: bool
) -> Any:
    """A stream to a new command in a container, or without one to its own. Raises MoorageError."""
    from kubernetes.client import CoreV1Api
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import stream
    from websocket import WebSocketException

    # The library turns the whole client into one for streams while it opens one: no request may share it.
    api = CoreV1Api(cluster.new_api())
    method = api.connect_get_namespaced_pod_attach if command is None else api.connect_get_namespaced_pod_exec
    more = {} if command is None else {"command": command}
    try:
        return stream(
            method,
            pod,
            namespace,
            container=container,
            stderr=not how.get("tty"),
            stdout=True,
            _preload_content=False,
            **more,
            **how,
        )
    except ApiException as error:
        # What the server said stands at the end of what the library makes of it.
        answer = _ANSWER.search(str(error.reason))
        body = error.body or (answer.group(0) if answer else "")
        raise from_answer(error.status or 0, body, "open", f"a stream to {pod}") from None
    except (WebSocketException, OSError) as error:
        raise MoorageError(f"no stream to {pod} could be opened: {error}") from None


def run_in_pod(cluster: Cluster, namespace: str, pod: str, container: str, command: list[str], stdin: str) -> Ended:
    """Run to the end. What goes to `stdin` is shown nowhere. Raises MoorageError.

    Not every server passes on the end of a stream: the last line of `stdin` must let the program end.
    """
    connection = open_stream(cluster, namespace, pod, container, command, stdin=True, tty=False)
    output, errors = [], []
    end = time.monotonic() + _SECONDS
    try:
        connection.write_stdin(stdin)
        while connection.is_open():
            if time.monotonic() > end:
                raise MoorageError(f"`{command[0]}` in {pod} did not finish within {_SECONDS:.0f} seconds")
            connection.update(timeout=1)
            output.append(connection.read_stdout() if connection.peek_stdout() else "")
            errors.append(connection.read_stderr() if connection.peek_stderr() else "")
    finally:
        connection.close()
    return Ended(status_of(connection), "".join(output), "".join(errors))


def status_of(connection: Any) -> int:
    """The exit status of a command whose stream has ended."""
    text = connection.read_channel(3)
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        return 1
    if answer.get("status") == "Success":
        return 0
    causes = (answer.get("details") or {}).get("causes") or ()
    codes = [str(each.get("message", "")) for each in causes if each.get("reason") == "ExitCode"]
    return int(codes[0]) if codes and codes[0].isdigit() else 1
