"""Why two environments may differ: written beside the code that causes it, with a condition on the very values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from moorage.parity.facts import Facts, Key


@dataclass(frozen=True)
class Pair:
    """One fact in two environments: `left` and `right` are its values in neutral words, empty where there is none."""

    key: Key
    left_facts: Facts
    right_facts: Facts

    @property
    def left(self) -> str:
        """The value in the first environment."""
        return self.left_facts.of(self.key)

    @property
    def right(self) -> str:
        """The value in the second."""
        return self.right_facts.of(self.key)

    def beside(self, name: str) -> tuple[str, str]:
        """Another field of the same subject, in both."""
        key = Key(self.key.subject, name)
        return self.left_facts.of(key), self.right_facts.of(key)

    def turned(self) -> Pair:
        """The same seen from the other side."""
        return Pair(self.key, self.right_facts, self.left_facts)


Condition = Callable[[Pair], bool]


@dataclass(frozen=True)
class Allowed:
    """A difference that is meant: which facts, between which targets, for which values, and why.

    `subject` and `field` are patterns as in a shell. `between` names targets, with `cluster` for minikube and EKS and `any`
    for all; the condition sees the pair in that order. A `capability` is something that one of them honestly lacks.
    """

    subject: str
    field: str
    why: str
    when: Condition
    between: tuple[str, str] = ("compose", "cluster")
    capability: bool = False
    # Fields that every such subject of the first must have, although the second has no counterpart: without it, nobody
    # would see that it is gone.
    needed: tuple[str, ...] = ()

    def explains(self, pair: Pair) -> bool:
        """Whether it is the reason of this difference."""
        if not fnmatchcase(pair.key.subject, self.subject) or not fnmatchcase(pair.key.field, self.field):
            return False
        return any(self._fits(way) and self.when(way) for way in (pair, pair.turned()))

    def missing(self, facts: Facts) -> Iterator[Key]:
        """The facts that an environment should have by this, and has not."""
        if not self.needed or not _is(facts, self.between[0]):
            return
        for subject in facts.subjects():
            is_of_docker = subject.startswith("container of ") != self.subject.startswith("container of ")
            if (
                not is_of_docker
                and fnmatchcase(subject, self.subject)
                and facts.get(subject.removeprefix("container of "), "image")
            ):
                fields = [key.field for key in facts.values if key.subject == subject]
                yield from (
                    Key(subject, name) for name in self.needed if not any(fnmatchcase(field, name) for field in fields)
                )

    def _fits(self, pair: Pair) -> bool:
        first, second = self.between
        return _is(pair.left_facts, first) and _is(pair.right_facts, second)


def _is(facts: Facts, target: str) -> bool:
    return target in ("any", facts.target) or (target == "cluster" and facts.target != "compose")


def values(left: str, right: str) -> Condition:
    """Just these two."""
    return lambda pair: (pair.left, pair.right) == (left, right)


def only_left(value: str) -> Condition:
    """Just this one, and nothing on the other side."""
    return values(value, "")


def only_right(value: str) -> Condition:
    """Nothing here, and just this there."""
    return values("", value)


def nothing_left(pair: Pair) -> bool:
    """Nothing here, whatever is there."""
    return not pair.left


def nothing_right(pair: Pair) -> bool:
    """Whatever is here, nothing there."""
    return not pair.right


def lacking(table: Mapping[str, str]) -> Condition:
    """Here what the table says of the field, there nothing."""
    return lambda pair: not pair.right and table.get(pair.key.field) == pair.left


def adding(table: Mapping[str, str]) -> Condition:
    """Here nothing, there what the table says of the field."""
    return lambda pair: not pair.left and table.get(pair.key.field) == pair.right


def either(table: Mapping[str, tuple[str, str]]) -> Condition:
    """The two values that the table has for the field."""
    return lambda pair: table.get(pair.key.field) == (pair.left, pair.right)
