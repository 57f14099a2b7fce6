"""YAML, JSON and env files: read with line and column, written the same way every time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from moorage.errors import InputError, Place, Problem

KeyPath = tuple[str | int, ...]
"""The keys and indexes that lead to a value inside a document."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _CoreSchemaLoader(_Loader):  # type: ignore[misc]
    """Resolves plain scalars by the YAML 1.2 core schema, as Compose does.

    PyYAML follows YAML 1.1, where `yes` is true and `22:22` is the number 1342: both would be wrong here.
    """


_CoreSchemaLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^(?:<<)$", "<"),
):
    _CoreSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass
class Document:
    """The content of one YAML file and where each part of it stands.

    `value` consists of dict, list, str, int, float, bool and None. `marks` maps a path to the
    (line, column) of its value, `key_marks` to that of its key; both count from 1.
    """

    name: str
    value: Any = None
    marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Where the value (or key) at `path` stands; the nearest written parent when it isn't in the file."""
        first, second = (self.key_marks, self.marks) if of_key else (self.marks, self.key_marks)
        while path and path not in first and path not in second:
            path = path[:-1]
        line, column = first.get(path) or second.get(path) or (0, 0)
        return Place(self.name, line, column)


def read_yaml(path: Path, name: str = "") -> Document:
    """Read a YAML file; `name` is what messages call it. Raises InputError with the place of a syntax error."""
    shown = name or path.name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError([Problem(Place(shown), "", "the file does not exist")]) from None
    except IsADirectoryError:
        raise InputError([Problem(Place(shown), "", "is a directory, a file is needed")]) from None
    except PermissionError:
        raise InputError([Problem(Place(shown), "", "the file may not be read by this user")]) from None
    except UnicodeDecodeError as error:
        raise InputError([Problem(Place(shown), "", f"is not UTF-8 text (byte {error.start})")]) from None
    return parse_yaml(text, shown)


def parse_yaml(text: str, name: str) -> Document:
    """Parse YAML text into a Document. Raises InputError for syntax errors and duplicate keys."""
    document = Document(name)
    loader = _CoreSchemaLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            problems: list[Problem] = []
            document.value = _construct(node, (), document, problems, ())
            if problems:
                raise InputError(problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name)
        raise InputError([Problem(place, "", f"is not valid YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise InputError([Problem(Place(name), "", f"is not valid YAML: {str(error).splitlines()[0]}")]) from None
    finally:
        loader.dispose()
    return document


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _construct(
    node: yaml.Node, path: KeyPath, document: Document, problems: list[Problem], parents: tuple[int, ...]
) -> Any:
    document.marks[path] = _mark(node)
    if id(node) in parents:
        problems.append(Problem(Place(document.name, *_mark(node)), dotted(path), "an anchor that contains itself"))
        return None
    parents = (*parents, id(node))
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(node, path, document, problems, parents)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, index), document, problems, parents) for index, item in enumerate(node.value)]
    return _scalar(node, path, document, problems)


def _construct_mapping(
    node: yaml.MappingNode, path: KeyPath, document: Document, problems: list[Problem], parents: tuple[int, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: list[yaml.Node] = []
    for key_node, value_node in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            merged.extend(value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node])
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(Problem(Place(document.name, *_mark(key_node)), dotted(path), "a key must be a plain word"))
            continue
        key = key_node.value
        here = (*path, key)
        if key in result:
            first = document.key_marks[here][0]
            rule = f"the key is written twice (first in line {first})"
            problems.append(Problem(Place(document.name, *_mark(key_node)), dotted(here), rule))
            continue
        document.key_marks[here] = _mark(key_node)
        result[key] = _construct(value_node, here, document, problems, parents)
    for source in merged:
        _merge(source, result, path, document, problems, parents)
    return result


def _merge(
    source: yaml.Node,
    result: dict[str, Any],
    path: KeyPath,
    document: Document,
    problems: list[Problem],
    parents: tuple[int, ...],
) -> None:
    """Apply one `<<` source: keys that are written in the mapping itself win."""
    if not isinstance(source, yaml.MappingNode):
        problems.append(
            Problem(Place(document.name, *_mark(source)), dotted((*path, "<<")), "only a mapping can be merged")
        )
        return
    if id(source) in parents:
        problems.append(Problem(Place(document.name, *_mark(source)), dotted(path), "an anchor that contains itself"))
        return
    scratch = Document(document.name)
    value = _construct_mapping(source, path, scratch, problems, (*parents, id(source)))
    for key, item in value.items():
        if key in result:
            continue
        result[key] = item
        prefix = (*path, key)
        for marks, own in ((scratch.marks, document.marks), (scratch.key_marks, document.key_marks)):
            own.update({found: mark for found, mark in marks.items() if found[: len(prefix)] == prefix})


def _scalar(node: yaml.Node, path: KeyPath, document: Document, problems: list[Problem]) -> Any:
    text = str(node.value)
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return _integer(text)
    if kind == "float":
        return _floating(text)
    if kind != "str":
        rule = f"the YAML tag {node.tag} is not supported"
        problems.append(Problem(Place(document.name, *_mark(node)), dotted(path), rule))
    return text


def _integer(text: str) -> int | str:
    if text.lower().startswith(("0x", "0o")):
        return int(text, 0)
    # A leading zero is how people write file modes and codes: 0755 must not become 755.
    return text if re.match(r"^[-+]?0[0-9]", text) else int(text)


def _floating(text: str) -> float:
    lowered = text.lower()
    return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `services.web.ports[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class _Literal(str):
    """A text that is dumped as a block, because it has several lines."""


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) and " \n" not in text else None
    if style is None and _reads_as_another_type(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OTHER_TYPE = re.compile(
    r"^(?:y|n|yes|no|on|off|true|false|null|~|[-+]?[0-9][0-9_,.:eExXoO]*[a-fA-F0-9]*)$", re.IGNORECASE
)


def _reads_as_another_type(text: str) -> bool:
    """Whether YAML 1.1 or 1.2 readers would take the bare text for something else."""
    return bool(_OTHER_TYPE.match(text))


class _StableDumper(_Dumper):  # type: ignore[misc]
    """Keeps the given key order, indents lists, never uses anchors, quotes what another reader might misread."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_StableDumper.add_representer(str, _represent_text)


def dump_yaml(value: Any, header: str = "") -> str:
    """Serialise plain data to YAML, in the order given; `header` becomes comment lines on top."""
    body = str(yaml.dump(value, Dumper=_StableDumper, sort_keys=False, allow_unicode=True, width=110))
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return comment + body


def dump_json(value: Any) -> str:
    """Serialise plain data to JSON with sorted keys, two spaces and a final newline."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def dump_env(values: Mapping[str, str], header: str = "") -> str:
    """An env file as Compose reads it: sorted, double-quoted, so that every character arrives unchanged.

    Inside double quotes Compose expands `\\n`, `\\"`, `\\\\` and `$`; all four are escaped here.
    """
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return comment + "".join(f"{name}={_env_quoted(values[name])}\n" for name in sorted(values))


def _env_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f'"{escaped}"'
