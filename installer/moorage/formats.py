"""YAML, JSON and env files: written the same way every time; YAML is read with line and column."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from moorage.documents import Document, KeyPath, dotted
from moorage.yaml_reading import is_file, parse_yaml, read_yaml

__all__ = [
    "Document",
    "KeyPath",
    "dotted",
    "dump_env",
    "dump_json",
    "dump_scalar",
    "dump_yaml",
    "is_file",
    "parse_yaml",
    "read_yaml",
    "show_number",
]

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text and not text.startswith((" ", "\n")) and " \n" not in text else None
    if style is None and _reads_as_another_type(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


# Whatever begins as a number and consists of what numbers have is quoted: readers differ in what they take for one.
_OTHER_TYPE = re.compile(
    r"^(?:y|n|yes|no|on|off|true|false|null|~|[-+]?\.?[0-9][0-9a-fA-F_,.:xXoO+-]*)\Z", re.IGNORECASE
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


class _OneLineDumper(_StableDumper):
    """Writes a text into one line, whatever it consists of."""


def _represent_in_one_line(dumper: Any, text: str) -> Any:
    style = '"' if text.splitlines() not in ([], [text]) else "'" if _reads_as_another_type(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLineDumper.add_representer(str, _represent_in_one_line)


def dump_scalar(text: str) -> str:
    """A text as YAML in one line, quoted where a reader would take it for something else, also inside of `{…}`."""
    line = str(yaml.dump([text], Dumper=_OneLineDumper, allow_unicode=True, width=1 << 30, default_flow_style=True))
    return line.rstrip("\n").removeprefix("[").removesuffix("]")


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


def show_number(value: float) -> str:
    """A decimal number as Compose turns it into a text: 1.0 → `1`, 1e3 → `1000`, 1234567.0 → `1.234567e+06`."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted() if number else 0
    if -4 <= exponent < 6:
        return f"{number:f}"
    return f"{number.scaleb(-exponent):f}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
