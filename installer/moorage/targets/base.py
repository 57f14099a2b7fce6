"""What a target is: a pure rendering of a stack, and a deployer that knows only the rendered folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from moorage.stack.model import Stack
from moorage.tree import Tree


@dataclass(frozen=True)
class Rendering:
    """What a render gives: the public tree for `rendered/`, the private one for `secrets/`."""

    public: Tree = field(default_factory=Tree)
    private: Tree = field(default_factory=Tree)


class Renderer(Protocol):
    """Turns a stack into files; touches nothing."""

    def __call__(self, stack: Stack) -> Rendering: ...
