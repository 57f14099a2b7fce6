"""What the API server answered or did not answer, as a sentence and a next step; and what is worth asking again."""

from __future__ import annotations

import json
from typing import Any

from moorage.errors import MoorageError


class ApiError(MoorageError):
    """The API server refused; `status` is HTTP's, `causes` are its own words, `reason` is its one-word reason."""

    def __init__(self, status: int, reason: str, said: str, causes: tuple[dict[str, str], ...], hint: str = "") -> None:
        super().__init__(said, hint)
        self.status = status
        self.reason = reason
        self.causes = causes

    @property
    def is_of_managers(self) -> bool:
        """Whether somebody else set fields to other values."""
        return any(cause.get("reason") == "FieldManagerConflict" for cause in self.causes)


class Unreachable(MoorageError):
    """No answer at all."""


_AGAIN = {409, 429, 500, 502, 503, 504}
_NOT_AGAIN = {"AlreadyExists", "FieldManagerConflict"}


def from_answer(status: int, body: Any, verb: str, what: str) -> ApiError:
    """An answer that is no success, as an error. Its text is the server's own where it gave one."""
    answer = _read(body)
    details = answer.get("details") or {}
    causes = tuple(details.get("causes") or ())
    reason = str(answer.get("reason") or "")
    said = str(answer.get("message") or "") or f"can't {verb} {what}: status {status}"
    if status == 401:
        return ApiError(
            status,
            reason,
            "the cluster does not know who you are (401)",
            causes,
            "log in again: its key or token ended",
        )
    if status == 403 and not causes and " cannot " in said:
        return ApiError(
            status,
            reason,
            f"you may not {verb} {what}: {said}",
            causes,
            "let somebody with more rights grant it (`kubernetes.team.deployer` in moorage.yaml names a group), or use another context",
        )
    return ApiError(status, reason, said, causes)


def is_worth_another_try(error: ApiError) -> bool:
    """Whether the same request may succeed in a moment."""
    if error.status == 403:
        # A quota that was made a moment ago has not been counted yet.
        return "status unknown for quota" in error.message
    return error.status in _AGAIN and error.reason not in _NOT_AGAIN and not error.is_of_managers


def unreachable(server: str, error: BaseException) -> Unreachable:
    """A connection that did not come about, or broke."""
    cause: BaseException = error
    while isinstance(getattr(cause, "reason", None), BaseException):
        cause = cause.reason  # type: ignore[attr-defined]
    text = str(cause)
    # urllib3 puts the object that failed in front: `<…HTTPSConnection object at 0x7f…>: Failed to …`.
    text = text.rpartition(">: ")[2] or type(cause).__name__
    certificate = "CERTIFICATE_VERIFY_FAILED" in text
    hint = (
        "is it another server than the kubeconfig says, or were its certificates made anew?"
        if certificate
        else "does it run, and does a VPN or a firewall stand between? `kubectl cluster-info` asks the same"
    )
    return Unreachable(f"the cluster at {server} does not answer: {text}", hint)


def _read(body: Any) -> dict[str, Any]:
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    try:
        found = json.loads(body) if isinstance(body, str) else body
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
