"""YAML files, read with the line and column of every part; a limit for everything that can grow without end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from moorage.documents import Document, KeyPath, dotted
from moorage.errors import InputError, Place, Problem

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD_TAG = "tag:yaml.org,2002:"
_DEEPEST = 200
_MOST_COPIES = 10_000
_MOST_DIGITS = 300

_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_SCALARS = {"bool": _BOOL, "int": _INT, "float": _FLOAT, "null": _NULL}


class _TooDeep(yaml.MarkedYAMLError):
    """Deeper than any program that reads the file could go."""


class _CoreSchemaLoader(_Loader):  # type: ignore[misc]
    """Resolves plain scalars by the YAML 1.2 core schema, as Compose does.

    PyYAML follows YAML 1.1, where `yes` is true and `22:22` is the number 1342: both would be wrong here.
    """

    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:  # noqa: ARG002
        """Called on the way into each node; without a limit the C parser itself would crash."""
        self.depth += 1
        if self.depth > _DEEPEST:
            mark = parent.start_mark if parent else None
            raise _TooDeep(None, None, f"lists and mappings are more than {_DEEPEST} deep", mark)

    def ascend_resolver(self) -> None:
        """Called on the way out."""
        self.depth -= 1


_CoreSchemaLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", _BOOL, list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile(r"^(?:<<)$"), ["<"]),
):
    _CoreSchemaLoader.add_implicit_resolver(f"{_STANDARD_TAG}{_tag}", _pattern, _first)


def is_file(path: Path) -> bool:
    """Whether a file stands there; a name that no file system can hold is none, and no error."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_yaml(path: Path, name: str = "") -> Document:
    """Read a YAML file; `name` is what messages call it. Raises InputError with the place of a syntax error."""
    shown = name or path.name
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError([Problem(Place(shown), "", "the file does not exist")]) from None
    except IsADirectoryError:
        raise InputError([Problem(Place(shown), "", "is a directory, a file is needed")]) from None
    except PermissionError:
        raise InputError([Problem(Place(shown), "", "the file may not be read by this user")]) from None
    except UnicodeDecodeError as error:
        raise InputError([Problem(Place(shown), "", f"is not UTF-8 text (byte {error.start})")]) from None
    except OSError as error:
        raise InputError([Problem(Place(shown), "", f"can't be read: {error.strerror}")]) from None
    return parse_yaml(text, shown)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text into a Document. Raises InputError for syntax errors and duplicate keys."""
    loader = _CoreSchemaLoader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name)
        raise InputError([Problem(place, "", f"is not valid YAML: {_sentence(error)}")]) from None
    except yaml.YAMLError as error:
        raise InputError([Problem(Place(name), "", f"is not valid YAML: {str(error).splitlines()[0]}")]) from None
    finally:
        loader.dispose()
    document = Document(name)
    if node is not None:
        builder = _Builder(document)
        document.value = builder.build(node, (), ())
        if builder.problems:
            raise InputError(builder.problems)
    return document


def _sentence(error: yaml.MarkedYAMLError) -> str:
    """What is wrong; some of the messages only go on with what the context began."""
    problem = error.problem or error.context or ""
    return f"{error.context} {problem}" if problem.startswith("but ") and error.context else problem


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


@dataclass
class _Builder:
    """Makes a document's value of nodes, collects what is wrong with them, and counts what aliases copy."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    copies: int = 0

    def build(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        """The value of a node and of all below it; `parents` are the nodes around it."""
        self.document.marks[path] = _mark(node)
        if id(node) in parents:
            self._report(node, path, "an anchor that contains itself")
            return None
        self._count(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._check_tag(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, (*parents, id(node)))
        within = (*parents, id(node))
        return [self.build(item, (*path, index), within) for index, item in enumerate(node.value)]

    def _count(self, node: yaml.Node) -> None:
        """Aliases of aliases multiply: a page of them would fill the memory."""
        self.copies += id(node) in self.seen
        self.seen.add(id(node))
        if self.copies > _MOST_COPIES:
            self._report(node, (), f"is copied by aliases into more than {_MOST_COPIES} values")
            raise InputError(self.problems)

    def _check_tag(self, node: yaml.Node, path: KeyPath) -> None:
        if node.tag not in (f"{_STANDARD_TAG}map", f"{_STANDARD_TAG}seq"):
            self._refuse_tag(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, parents: tuple[int, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_STANDARD_TAG}merge":
                merged.extend(value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node])
            elif not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "a key must be a plain word")
            else:
                self._key(key_node, value_node, result, path, parents)
        for source in merged:
            self._merge(source, result, path, parents)
        return result

    def _key(
        self,
        key: yaml.ScalarNode,
        value: yaml.Node,
        result: dict[str, Any],
        path: KeyPath,
        parents: tuple[int, ...],
    ) -> None:
        here = (*path, key.value)
        if key.value in result:
            first = self.document.key_marks[here][0]
            self._report(key, here, f"the key is written twice (first in line {first})")
            return
        self.document.key_marks[here] = _mark(key)
        result[key.value] = self.build(value, here, parents)

    def _merge(self, source: yaml.Node, result: dict[str, Any], path: KeyPath, parents: tuple[int, ...]) -> None:
        """Apply one `<<` source: keys that are written in the mapping itself win."""
        if not isinstance(source, yaml.MappingNode):
            self._report(source, (*path, "<<"), "only a mapping can be merged")
            return
        if id(source) in parents:
            self._report(source, path, "an anchor that contains itself")
            return
        self._count(source)
        own, self.document = self.document, Document(self.document.name)
        value = self._mapping(source, path, (*parents, id(source)))
        scratch, self.document = self.document, own
        for key, item in value.items():
            if key not in result:
                result[key] = item
                self._take_over(scratch, (*path, key))

    def _take_over(self, scratch: Document, prefix: KeyPath) -> None:
        """Copy what is known of the parts below `prefix`."""
        size = len(prefix)
        self.document.marks.update({path: mark for path, mark in scratch.marks.items() if path[:size] == prefix})
        self.document.key_marks.update(
            {path: mark for path, mark in scratch.key_marks.items() if path[:size] == prefix}
        )
        self.document.numbers.update({path: text for path, text in scratch.numbers.items() if path[:size] == prefix})

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(_STANDARD_TAG)
        if kind in ("str", "merge"):
            return text
        if kind not in _SCALARS:
            self._refuse_tag(node, path)
            return text
        if not _SCALARS[kind].match(text):
            self._report(node, path, f"is tagged !!{kind}, but is none")
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if len(text) > _MOST_DIGITS:
            self._report(
                node, path, f"is a number of more than {_MOST_DIGITS} digits; put it into quotes to make it a text"
            )
            return text
        self.document.numbers[path] = text
        return _integer(text) if kind == "int" else _floating(text)

    def _refuse_tag(self, node: yaml.Node, path: KeyPath) -> None:
        shown = node.tag.replace(_STANDARD_TAG, "!!")
        self._report(node, path, f"the YAML tag {shown} is not supported")

    def _report(self, node: yaml.Node, path: KeyPath, rule: str) -> None:
        self.problems.append(Problem(Place(self.document.name, *_mark(node)), dotted(path), rule))


def _integer(text: str) -> int | str:
    if text.lower().startswith(("0x", "0o")):
        return int(text, 0)
    # A leading zero is how people write file modes and codes: 0755 must not become 755.
    return text if re.match(r"^[-+]?0[0-9]", text) else int(text)


def _floating(text: str) -> float:
    lowered = text.lower()
    return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))
