"""Write the reference pages from what they describe: the schema, the Compose subset, the commands themselves.

python docs/generate.py            write them
python docs/generate.py --check    write nothing; exit 1 and name every page that is out of date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command
from typer.testing import CliRunner

from moorage.app.extension import GENERATORS, AppExtension, ServiceExtension, VolumeExtension
from moorage.app.subset import LEVELS, Rule
from moorage.cli.app import app as program
from moorage.config.json_schema import json_schema
from moorage.config.loading import load_config
from moorage.config.schema import Config
from moorage.formats import parse_yaml
from moorage.quantities import format_size
from moorage.stack.build import platform_values
from moorage.stack.platform import postgres, redis

DOCS = Path(__file__).resolve().parent
WIDTH = 100
_NOTICE = "<!-- Written by `python docs/generate.py` (`make docs`); changes here are lost. -->"
_SIZE, _CPU, _VALUE = ["string", "integer"], ["string", "number"], ["string", "number", "boolean"]
_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "mapping",
}

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """One table of keys: where the block stands in the file, what it is, its keys."""

    path: str
    about: str
    rows: tuple[tuple[str, str, str, str], ...]


def main(arguments: Sequence[str]) -> int:
    """Write or check every page; gives the exit status."""
    pages = {
        "configuration.md": configuration(),
        "app-format.md": app_format(),
        "commands.md": commands(),
        "moorage.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    if "--check" not in arguments:
        for name, text in pages.items():
            (DOCS / name).write_text(text, encoding="utf-8")
        return 0
    stale = [name for name, text in pages.items() if _present(DOCS / name) != text]
    for name in stale:
        sys.stderr.write(f"docs/{name} is out of date: `make docs` writes it anew\n")
    return 1 if stale else 0


def _present(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def blocks(model: type[BaseModel], path: str = "") -> Iterator[Block]:
    """The tables of a model, outer blocks first, in the order of the code."""
    schema = model.model_json_schema()
    yield from _blocks(schema, schema.get("$defs", {}), path)


def _blocks(schema: Schema, definitions: Mapping[str, Schema], path: str) -> Iterator[Block]:
    required = set(schema.get("required", ()))
    rows, below = [], []
    for name, value in schema.get("properties", {}).items():
        inner, suffix = _inner(value, definitions)
        place = f"{path}.{name}{suffix}" if path else f"{name}{suffix}"
        about = value.get("description") or (inner or {}).get("description", "")
        if inner is None:
            rows.append((name, _type(value), _default(name, value, required), about))
            continue
        rows.append((name, f"[{_container(suffix)}](#{_slug(place)})", _default(name, value, required), about))
        below.append((place, inner))
    yield Block(path, str(schema.get("description", "")), tuple(rows))
    for place, inner in below:
        yield from _blocks(inner, definitions, place)


def _inner(value: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema | None, str]:
    """The block that a value holds, and how its place in the file is written: `[]` for a list, `.NAME` for names."""
    for choice in (value, *value.get("anyOf", ())):
        if "$ref" in choice:
            return definitions[choice["$ref"].rpartition("/")[2]], ""
        for key, suffix in (("items", "[]"), ("additionalProperties", ".NAME")):
            if isinstance(choice.get(key), dict):
                inner, below = _inner(choice[key], definitions)
                if inner is not None:
                    return inner, suffix + below
    return None, ""


def _container(suffix: str) -> str:
    return {"": "block", "[]": "list of blocks", ".NAME": "block per name"}.get(suffix, "list of blocks per name")


def _type(value: Schema) -> str:
    """What may be written, in words."""
    choices = [choice for choice in value.get("anyOf", (value,)) if choice.get("type") != "null"]
    return " or ".join(_one_type(choice) for choice in choices)


def _one_type(value: Schema) -> str:
    kind, examples = value.get("type"), value.get("examples", ())
    if "enum" in value:
        return ", ".join(dict.fromkeys(f"`{choice}`" for choice in value["enum"] if choice))
    if kind in (_SIZE, _CPU) and examples:
        return f"{'size' if kind == _SIZE else 'CPUs'}, such as `{examples[0]}`"
    if kind == _VALUE:
        return "single value"
    if kind == "array":
        return f"list: {_type(value['items'])}"
    if kind == "object":
        inner = value.get("additionalProperties")
        return f"mapping: name to {_type(inner)}" if isinstance(inner, dict) and inner else "mapping"
    if examples:
        return f"text, such as `{examples[0]}`"
    # A number may stand in quotes, too; that needs no mention.
    kinds = [name for name in kind if name != "string"] if isinstance(kind, list) else [kind]
    return " or ".join(_NAMES[str(name)] for name in kinds) + _range(value)


def _range(value: Schema) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", at least {low}" if low is not None else ""


def _default(name: str, value: Schema, required: set[str]) -> str:
    if name in required:
        return "required"
    default = value.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    if value.get("type") == _SIZE and value.get("examples"):
        default = format_size(int(default))
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{json.dumps(default) if isinstance(default, bool) else default}`"


def _slug(path: str) -> str:
    """The anchor that a heading with this code gets."""
    return "".join(letter for letter in path.lower() if letter.isalnum() or letter in "-_")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(" ".join(("|", *(f"{_cell(cell)} |".lstrip() for cell in line))) for line in lines)


def _cell(text: str) -> str:
    """Text for one cell: no cell ends inside it, and `<name>` outside of code is not taken for HTML."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))


def _block_text(block: Block, level: str) -> str:
    rows = [(f"`{name}`", kind, default, about) for name, kind, default, about in block.rows]
    head = f"{level} `{block.path}`\n\n" if block.path else ""
    about = f"{block.about}\n\n" if block.path and block.about else ""
    if not rows:
        return f"{head}{about}It has no keys: write `{{}}`.\n"
    return head + about + _table(("key", "value", "default", "meaning"), rows) + "\n"


def configuration() -> str:
    """configuration.md."""
    text = "\n".join(_block_text(block, "##") for block in blocks(Config))
    return f"""{_NOTICE}
# Configuration: every key of moorage.yaml

`moorage init` writes the file, `moorage validate` checks it and shows every problem at once with its line and
column. [moorage.schema.json](moorage.schema.json) (also printed by `moorage schema`) lets an editor complete and
check it. The rules that are the same everywhere:

- A key that is not on this page is an error, never ignored.
- Sizes are binary: `512m`, `512M` and `512Mi` all mean 512 × 1024² bytes. CPUs are `0.5` or `500m`.
- Paths start at the folder of moorage.yaml.
- No value here is secret. Secrets are named under `secrets` and kept in `secrets/`; see `moorage secrets list`.
- `environments.NAME` may override everything but `name` and `environments`. Mappings are merged key by key, anything
  else, lists included, is replaced. The default environment is named after `target`.
- `projects` is read and checked, but this version does nothing with it yet.

In the headings below `[]` means that the block stands in a list, `NAME` that you choose the name.

## Top level

{text}"""


def app_format() -> str:
    """app-format.md."""
    levels = "\n".join(_level_text(name, rules) for name, rules in LEVELS.items())
    extension = "\n".join(
        f"{head}\n\n" + "\n".join(_block_text(block, "###") for block in blocks(model, path))
        for head, model, path in (
            ("## x-moorage of the app", AppExtension, "x-moorage"),
            ("## x-moorage of a service", ServiceExtension, "services.NAME.x-moorage"),
            ("## x-moorage of a volume", VolumeExtension, "volumes.NAME.x-moorage"),
        )
    )
    return f"""{_NOTICE}
# The app's file: Compose, and what moorage adds

An app is an ordinary Compose file. This page lists what happens to each of its keys, the keys of `x-moorage` that say
what Compose cannot, and the variables that a file may use. How a foreign file is brought up, step by step, is in
[bring your own app](bring-your-own-app.md).

**kept** means what Compose means by it. **adapted** means that moorage does the same thing another way, and says so
in a notice. **refused** is an error with file, line, column and this reason. Nothing is dropped without a word. A key
that is on none of these lists is not a key of the Compose specification, and an error; keys that begin with `x-` are
ignored, apart from `x-moorage`.

{levels}
These names are moorage's own: the services `traefik`, `edge-routes` and `socket-proxy`, the networks `edge` (routed
services and the proxy) and `data` (Postgres and Redis, without a way to the internet).

{extension}
## Variables

A value may use variables in the forms of the Compose specification. A value that uses a secret is a secret itself: it
goes into a file of mode 0600, never into a rendered one, and is refused outside of `environment`, `secrets` and
`configs`, where other users of the host could read it.

{_table(("form", "gives"), _FORMS)}

The values come from four places, the later ones win: the defaults under `x-moorage.variables`, `env` of moorage.yaml,
the secrets, and what moorage sets itself:

{_table(("variable", "set", "value"), _platform_rows())}

A secret with `generate` is made once, at `init` or `up`, and kept:

{_table(("generate", "gives"), [(f"`{name}`", _GENERATED[name]) for name in GENERATORS])}
"""


def _level_text(name: str, rules: Mapping[str, Rule]) -> str:
    order = ("kept", "adapted", "refused")
    rows = [
        (f"`{key}`", rule.verdict, rule.note)
        for verdict in order
        for key, rule in rules.items()
        if rule.verdict == verdict
    ]
    return f"## Compose: {name}\n\n{_table(('key', 'what happens', 'note'), rows)}\n"


_FORMS = (
    ("`$NAME`, `${NAME}`", "the value; an error when there is none"),
    ("`${NAME:-default}`", "the default when there is no value, or an empty one"),
    ("`${NAME-default}`", "the default when there is no value"),
    ("`${NAME:?message}`, `${NAME?message}`", "an error with your message instead of the default"),
    ("`${NAME:+other}`, `${NAME+other}`", "`other` when there is a value, else nothing"),
    ("`$$`", "a dollar sign"),
    ("`NAME:` or `- NAME` under `environment`", "the value of the variable of that name, or no entry at all"),
)

_PLATFORM = {
    "DEPLOYMENT_NAME": ("always", "`name` of moorage.yaml"),
    "COMPOSE_PROJECT_NAME": (
        "always",
        "the name, with `--` and the environment behind it when it is not the default one",
    ),
    "ENVIRONMENT": ("always", "the environment's name, `compose` unless you named others"),
    "DOMAIN": ("always", "`domain`"),
    "BASE_URL": ("always", "the site's address as a browser writes it, without a slash at the end"),
    "PROTOCOL": ("always", "`https`, or `http` when `tls.mode` is `off`"),
    "IMAGE_PREFIX": ("always", "`images.registry` and a slash, or nothing"),
    "IMAGE_TAG": ("always", "`images.tag`"),
    "TLS_MODE": ("always", "`tls.mode`"),
    "HTTPS": ("always", "`false` when `tls.mode` is `off`, else `true`"),
    "POSTGRES_HOST": ("with `requires.postgres`", "the name or address of the server"),
    "POSTGRES_PORT": ("with `requires.postgres`", "`5432`, or `postgres.port` of an external server"),
    "POSTGRES_USER": ("with `requires.postgres`", "the role that owns the databases"),
    "POSTGRES_PASSWORD": ("with `requires.postgres`", "its password, a secret"),
    "POSTGRES_DB": ("with `requires.postgres`", "the main database"),
    "POSTGRES_TLS": ("with `requires.postgres`", "`true` when an external server is reached by TLS, else `false`"),
    "REDIS_HOST": ("with `requires.redis`", "the name or address of the server"),
    "REDIS_PORT": ("with `requires.redis`", "`6379`, or `redis.port` of an external server"),
    "REDIS_PASSWORD": ("with `requires.redis`", "its password, a secret"),
    "REDIS_URL": ("with `requires.redis`", "`redis://:PASSWORD@HOST:PORT/0`, a secret"),
    "NAMESPACE": ("in a cluster", "the namespace; empty on a server"),
    "CREATED_INGRESS_CLASS": ("in a cluster", "the class of Ingresses that the app makes itself; empty on a server"),
    "STORAGE_CLASS": ("in a cluster", "the class of disks; empty on a server"),
    "SNAPSHOT_CLASS": ("in a cluster", "the class of snapshots of disks; empty on a server"),
}

_GENERATED = {
    "hex32": "32 random bytes as 64 hexadecimal digits",
    "hex16": "16 random bytes as 32 hexadecimal digits",
    "alphanumeric48": "48 letters and digits",
    "urlsafe32": "32 random bytes in URL-safe base64, without `=`",
    "fernet": "a Fernet key: 32 random bytes in URL-safe base64",
    "password": "20 letters and digits that are not mistaken for each other",
    "uuid4": "a random UUID",
    "bcrypt": "the hash of another secret; for moorage's own use",
}


def _platform_rows() -> list[tuple[str, str, str]]:
    """A row for every variable that moorage sets. Raises KeyError for one that nobody has described."""
    loaded, _ = load_config(parse_yaml("{name: acme, app: notes, domain: acme.example.com}", "moorage.yaml"), "compose")
    assert loaded is not None
    extension = AppExtension.model_validate({"requires": {"postgres": {}, "redis": {}}})
    names = {
        *platform_values(loaded, extension),
        *postgres.values(extension, loaded, {}),
        *redis.values(extension, loaded, {}),
    }
    described = list(_PLATFORM)
    ordered = sorted(names, key=lambda name: (described.index(name) if name in described else -1, name))
    return [(f"`{name}`", *_PLATFORM[name]) for name in ordered]


def commands() -> str:
    """commands.md."""
    parts = [f"## {' '.join(('moorage', *words))}\n\n```text\n{_help(words)}```\n" for words in command_paths()]
    text = "\n".join(parts)
    return f"""{_NOTICE}
# Commands

Every command works on a deployment folder: the current one, or the one given by `-C` **before** the command.
`--json`, `--quiet` and `--verbose` may stand before or after it. Results go to standard output, talk goes to standard
error. `--environment` may also be given by the variable `MOORAGE_ENVIRONMENT`.

{_table(("exit status", "meaning"), _STATUSES)}

{text}"""


_STATUSES = (
    ("0", "done, or nothing to do"),
    ("1", "failed; the message says what still runs and what to do"),
    ("2", "the input is wrong: moorage.yaml, the app's file, an option. Nothing was written"),
    ("2 of `plan`", "there are changes"),
    ("that of the program", "`run` and `logs` give the status of what they ran"),
    ("130", "stopped by Ctrl-C; run the same command again to go on"),
    ("141", "the reader of the output went away (`moorage logs | head`)"),
)


def command_paths() -> Iterator[tuple[str, ...]]:
    """The program itself, then every command and sub-command, in the order of the help."""
    yield ()
    for name, command in get_command(program).commands.items():  # type: ignore[attr-defined]
        yield (name,)
        for below in getattr(command, "commands", {}):
            yield (name, below)


def _help(words: Sequence[str]) -> str:
    done = CliRunner().invoke(
        program, [*words, "--help"], prog_name="moorage", terminal_width=WIDTH, max_content_width=WIDTH
    )
    if done.exit_code != 0:
        raise RuntimeError(f"moorage {' '.join(words)} --help ended with status {done.exit_code}: {done.output}")
    return "\n".join(line.rstrip() for line in done.output.splitlines()) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
