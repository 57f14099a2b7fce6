"""`environment` and `env_file` of a service: what is secret in them stays out of the rendered folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moorage.app import subset
from moorage.app.env_file import read_env_file
from moorage.app.model import App
from moorage.app.reader import Reader
from moorage.app.secrecy import looks_secret, written_environment
from moorage.config import rules
from moorage.formats import KeyPath, is_file
from moorage.sensitive import Sensitive, Text, reveal
from moorage.words import abridged

_NAMES_SHOWN = 8
_COMPOSED = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[=:].*\$", re.MULTILINE)
_DEFAULT = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*):?-")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


def read_environment(
    reader: Reader,
    app: App,
    kept: Mapping[str, Any],
    path: KeyPath,
    values: Mapping[str, Text],
    secrets: frozenset[str],
) -> dict[str, Text]:
    """Names and values, those of `environment` winning over env files.

    `secrets` are names that are secret anywhere; one that has a value in `values` wins over the env file's, so that
    `moorage secrets set` changes it everywhere.
    """
    result: dict[str, Text] = {}
    for name, place, required in _env_files(reader, kept.get("env_file"), (*path, "env_file")):
        result.update(_of_file(reader, app, name, place, values, result, secrets, required=required))
    place = (*path, "environment")
    for name, value in reader.pairs(kept.get("environment"), place).items():
        text = _value(reader, name, value, (*place, name), values)
        if isinstance(text, str) and looks_secret(name, text):
            # Written out in the file, or the default of a variable there; the rendered folder need not repeat it.
            app.written_secrets.setdefault(str(path[1]), []).append(name)
            text = Sensitive(text)
        if text is not None:
            result[name] = text
    return result


def tell_of_written_secrets(reader: Reader, app: App, services: Any) -> None:
    """Say which secrets stand in the Compose file itself: as they are, or as the default of a variable."""
    literal: list[str] = []
    defaults: set[str] = set()
    for service, names in app.written_secrets.items():
        texts = written_environment(services.get(service))
        variables = {name: _DEFAULT.findall(texts.get(name, "")) for name in names}
        defaults.update(variable for found in variables.values() for variable in found)
        own = [name for name, found in variables.items() if not found]
        literal += [f"{service} ({', '.join(own)})"] if own else []
    if literal:
        reader.notice(
            "compose file",
            f"has secrets written out: {_some(literal)}. They are kept out of rendered/; to keep them out of the file "
            "too, write `${NAME}` there, list the name under `secrets` in moorage.yaml, then `moorage secrets set NAME`",
        )
    if defaults:
        reader.notice(
            "compose file",
            f"has defaults for secrets, known to everybody who has the file: {_some(sorted(defaults))}. To have your own, "
            "list the names under `secrets` in moorage.yaml, then `moorage secrets set NAME` before the first start",
        )


def names_in_env_files(services: Any, folder: Path) -> frozenset[str]:
    """The variables that lines of env files use; a name too many does no harm."""
    return frozenset(name for text in _texts_of_env_files(services, folder) for name in _VARIABLE.findall(text))


def names_that_follow_others(services: Any, folder: Path) -> frozenset[str]:
    """The variables of env files whose lines use other variables."""
    return frozenset(name for text in _texts_of_env_files(services, folder) for name in _COMPOSED.findall(text))


def _texts_of_env_files(services: Any, folder: Path) -> Iterator[str]:
    for service in services.values() if isinstance(services, dict) else ():
        written = service.get("env_file") if isinstance(service, dict) else None
        for item in written if isinstance(written, list) else [written]:
            name = item.get("path") if isinstance(item, dict) else item
            if isinstance(name, str) and is_file(folder / name):
                yield (folder / name).read_text(encoding="utf-8", errors="replace")


def _value(reader: Reader, name: str, value: Any, path: KeyPath, values: Mapping[str, Text]) -> Text | None:
    try:
        rules.variable_name(name.replace(".", "_").replace("-", "_"))
    except ValueError as error:
        reader.report(path, str(error), of_key=True)
        return None
    if value is None:
        # Passed through when it has a value; an optional secret that nobody set has none.
        found = values.get(name)
        return None if isinstance(found, Sensitive) and not found.reveal() else found
    if isinstance(value, Sensitive):
        return value
    return reader.text(value, path)


def _env_files(reader: Reader, value: Any, path: KeyPath) -> Iterator[tuple[str, KeyPath, bool]]:
    """The files that are named: name, place, whether they must exist."""
    for index, item in enumerate(reader.sequence([value] if isinstance(value, dict) else value, path)):
        here = (*path, index) if isinstance(value, list) else path
        required = True
        if isinstance(item, dict):
            entry = reader.keys(item, here, subset.ENV_FILE, f"service {path[1]}, env_file")
            required = reader.boolean(entry.get("required"), (*here, "required"), True)
            item, here = entry.get("path"), (*here, "path")
        problems = len(reader.problems)
        name = reader.text(item, here)
        if not name and len(reader.problems) == problems:
            reader.report(here, "must be the path of a file")
        elif name:
            yield name, here, required


def _of_file(
    reader: Reader,
    app: App,
    name: str,
    path: KeyPath,
    values: Mapping[str, Text],
    earlier: Mapping[str, Text],
    secrets: frozenset[str],
    *,
    required: bool,
) -> dict[str, Text]:
    """The lines of one file; they may use what `values` and the files before it say."""
    file = reader.folder / name
    if not is_file(file):
        if required:
            reader.report(path, "the file does not exist", value=name, hint="create it beside the Compose file")
        return {}
    known = {**values, **earlier}
    found, problems = read_env_file(file, name, known, secrets)
    if problems:
        reader.problems.extend(problem for problem in problems if problem not in reader.problems)
        return {}
    suspects = {key for key, text in found.items() if isinstance(text, str) and looks_secret(key, text)}
    if suspects:
        # Once more: lines that use a secret one are secret too.
        found, _ = read_env_file(file, name, known, secrets | suspects)
    for key, text in found.items():
        app.env_file_values.setdefault(key, set()).add(text)
    kept = {key: values[key] for key in secrets & set(found) if reveal(values.get(key, ""))}
    _tell(reader, name, {**found, **kept}, suspects - set(kept), sorted(kept))
    return {**found, **kept}


def _tell(reader: Reader, name: str, found: Mapping[str, Text], suspects: set[str], kept: list[str]) -> None:
    """Say once per file what becomes of its values: the rendered folder may be committed."""
    plain = sorted(key for key, text in found.items() if isinstance(text, str) and text)
    parts = []
    if kept:
        parts.append(f"{_some(kept)}: taken from secrets/, not from this file")
    if suspects:
        parts.append(f"{_some(sorted(suspects))}: kept out of rendered/, because it looks secret")
    if plain:
        parts.append(f"{_some(plain)}: written into rendered/; list under `secrets` in moorage.yaml what must not be")
    subject, text = f"env file {name}", "; ".join(parts)
    if parts and not any((notice.subject, notice.text) == (subject, text) for notice in reader.notices):
        reader.notice(subject, text)


def _some(names: list[str]) -> str:
    return abridged(names, _NAMES_SHOWN)
