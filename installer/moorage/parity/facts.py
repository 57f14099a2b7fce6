"""What an environment really is, read back from its rendered files: neutral facts that can be held side by side.

A fact is a subject (`service web`), a field (`environment.DATABASE_URL`) and a value as text. What is not there has no fact.
Values that are meant to differ between environments (the domain, the project's name) are replaced by the name of what they
come from, so that `https://notes.example.com` here and `http://localhost` there are both `${BASE_URL}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SECRET = "a secret"  # noqa: S105 - what is shown in the place of one
# And in the place of a variable that is there without a value.
EMPTY = "(empty)"
# Between values of the same fact that are not the same.
_BESIDE = " | "
# Own values that are found inside of longer texts; all others stand for themselves only.
_ANYWHERE = ("BASE_URL", "DOMAIN", "REGISTRY")


@dataclass(frozen=True, order=True)
class Key:
    """Where a fact belongs."""

    subject: str
    field: str


@dataclass
class Facts:
    """All facts of one environment.

    `own` are its own values by the name that stands for them everywhere; `settings` is what moorage.yaml says for this
    environment alone, by dotted key; `reasons` are those that the app's file gives for a service that differs by target, `declared` what it has here,
    `absent` are those that are not for this target, `lacking` the secrets that nobody has given a value yet.
    `asked` are facts that the target has no means for: the value is what the app's file asks.
    """

    environment: str
    target: str
    own: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    lacking: tuple[str, ...] = ()
    values: dict[Key, str] = field(default_factory=dict)
    neutral: dict[Key, str] = field(default_factory=dict)
    asked: set[Key] = field(default_factory=set)

    def note(self, subject: str, name: str, value: object) -> None:
        """Add a fact; what is empty is no fact. Several of one key stand side by side."""
        text = as_text(value)
        if not text:
            return
        key = self.key(subject, name)
        known = self.values.get(key)
        if known is not None:
            text = known if text in known.split(_BESIDE) else f"{known}{_BESIDE}{text}"
        self.values[key] = text
        self.neutral[key] = self.without_own(text)

    def ask(self, subject: str, name: str, value: object) -> None:
        """Add what the app's file asks and this target has no means for."""
        self.note(subject, name, value)
        self.asked.add(self.key(subject, name))

    def key(self, subject: str, name: str) -> Key:
        """The key of a fact: the names of a cluster's objects begin with those of their namespace."""
        environment = self.own.get("ENVIRONMENT", "")
        name = name.replace(f"/secrets/{environment}/", "/secrets/${ENVIRONMENT}/") if environment else name
        return Key(self.wholly_neutral(subject) if subject.startswith("object ") else subject, name)

    def get(self, subject: str, name: str) -> str:
        """The value of a fact; empty for none."""
        return self.values.get(Key(subject, name), "")

    def of(self, key: Key) -> str:
        """The value of a fact in neutral words; empty for none."""
        return self.neutral.get(key, "")

    def subjects(self) -> Iterator[str]:
        """Everything that there are facts of, in order."""
        yield from dict.fromkeys(key.subject for key in sorted(self.values))

    def wholly_neutral(self, text: str, names: tuple[str, ...] = ("NAMESPACE", "PROJECT")) -> str:
        """A text without the names of namespace, project and environment as well: an object is called by them."""
        text = self.without_own(text)
        for name in names:
            value = self.own.get(name, "")
            if len(value) > 1 and value in text:
                text = re.sub(rf"(?<![A-Za-z0-9{{]){re.escape(value)}(?![A-Za-z0-9}}])", f"${{{name}}}", text)
        # One may be called as the other.
        return text.replace("${PROJECT}", "${NAMESPACE}")

    def without_own(self, text: str) -> str:
        """A text with the environment's own values replaced by what they come from."""
        for name, value in self.own.items():
            if value and text == value:
                return f"${{{name}}}"
        # The longest first: a domain is a part of its base URL.
        for name, value in sorted(self.own.items(), key=lambda item: -len(item[1])):
            if name in _ANYWHERE and len(value) > 1 and value in text:
                text = re.sub(rf"(?<![\w-]){re.escape(value)}(?![\w-])", f"${{{name}}}", text)
        return text


def same(one: Facts, other: Facts, key: Key) -> bool:
    """Whether a fact is the same in both: as it stands, in neutral words, or with names of the deployment left out."""
    first, second = one.values.get(key, ""), other.values.get(key, "")
    if first == second or one.of(key) == other.of(key):
        return True
    if not first or not second:
        return False
    names = ("NAMESPACE", "PROJECT")
    return any(
        one.wholly_neutral(first, of) == other.wholly_neutral(second, of) for of in (names, (*names, "ENVIRONMENT"))
    )


def as_text(value: object) -> str:
    """A value as a person reads it; empty for one that says nothing."""
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, (list, tuple)):
        return " ".join(as_text(item) for item in value)
    return str(value)
