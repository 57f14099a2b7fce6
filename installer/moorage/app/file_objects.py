"""Compose's `configs` and `secrets`: small files with a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app import copies, subset
from moorage.app.copies import Uncopyable
from moorage.app.model import FileMount
from moorage.app.reader import Reader, slug
from moorage.formats import KeyPath
from moorage.sensitive import Sensitive, Text
from moorage.words import nearest

FOLDERS = {"configs": "/", "secrets": "/run/secrets/"}


class ObjectReader:
    """Reads the configs or the secrets of one file, and where services mount them."""

    def __init__(self, reader: Reader, key: str, declared: Any, values: Mapping[str, Text]) -> None:
        self.reader = reader
        self.key = key
        self.values = values
        self.objects = self._objects(declared)

    def mounts(self, service: str, used: Any, path: KeyPath) -> list[FileMount]:
        """What a service mounts of them; short and long form."""
        found = [
            self._mount(service, item, (*path, self.key, index))
            for index, item in enumerate(self.reader.sequence(used, (*path, self.key)))
        ]
        return [mount for mount in found if mount is not None]

    def _objects(self, declared: Any) -> dict[str, bytes | Text]:
        result: dict[str, bytes | Text] = {}
        for name, settings in self.reader.mapping(declared, (self.key,)).items():
            path = (self.key, name)
            kept = self.reader.keys(settings, path, subset.FILE_OBJECT, f"{self.key[:-1]} {name}")
            content = self._content(kept, path)
            if content is None:
                continue
            if self.key == "secrets" and not isinstance(content, Sensitive):
                content = Sensitive(content if isinstance(content, str) else content.decode(errors="surrogateescape"))
            result[name] = content
        return result

    def _content(self, kept: Mapping[str, Any], path: KeyPath) -> bytes | Text | None:
        if "content" in kept:
            content = kept["content"]
            return content if isinstance(content, Sensitive) else self.reader.text(content, (*path, "content"))
        if "environment" in kept:
            return self._variable(self.reader.text(kept["environment"], (*path, "environment")), path)
        name = self.reader.text(kept.get("file"), (*path, "file"))
        if not name:
            self.reader.report(path, "needs `file`, `content` or `environment`", of_key=True)
            return None
        return self._file(name, (*path, "file"))

    def _variable(self, variable: str, path: KeyPath) -> Text | None:
        value = self.values.get(variable)
        if value is None:
            self.reader.report(
                (*path, "environment"),
                f"needs the variable {variable}, which has no value",
                hint=f"`moorage secrets set {variable}`",
            )
        return value

    def _file(self, name: str, path: KeyPath) -> bytes | Text | None:
        file = self.reader.folder / name
        try:
            if not file.is_file():
                hint = "create it beside the Compose file"
                self.reader.report(path, "the file does not exist", value=name, hint=hint)
                return None
            return copies.read(file)
        except (Uncopyable, OSError):
            self.reader.report(path, "may not be read by this user", value=name)
            return None

    def _mount(self, service: str, item: Any, path: KeyPath) -> FileMount | None:
        settings = item if isinstance(item, dict) else {"source": item}
        kept = self.reader.keys(settings, path, subset.FILE_OBJECT_MOUNT, f"service {service}, {self.key}")
        source = self.reader.text(kept.get("source"), (*path, "source"))
        if source not in self.objects:
            self._report_unknown(source, path)
            return None
        target = self.reader.text(kept.get("target"), (*path, "target"), source)
        if not target.startswith("/"):
            target = FOLDERS[self.key] + target
        owner = self.reader.parsed(kept.get("uid"), (*path, "uid"), _user_id)
        mode = self.reader.parsed(kept.get("mode"), (*path, "mode"), parse_mode) or "0"
        executable = frozenset({""} if int(mode, 8) & 0o111 else ())
        name = slug(f"{self.key[:-1]}-{source}")
        return FileMount(name, target, {"": self.objects[source]}, executable, owner=owner)

    def _report_unknown(self, source: str, path: KeyPath) -> None:
        declared = self.reader.mapping(self.reader.document.value, ()).get(self.key)
        if not isinstance(declared, dict) or source not in declared:
            rule = f"names `{source}`, which is not under `{self.key}`"
            self.reader.report(path, rule, suggestion=nearest(source, self.objects))


def parse_mode(value: object) -> str:
    """Permission bits as octal digits, of `0o1777`, "1777" or "0700". Raises ValueError naming the form."""
    text = f"{value:o}" if isinstance(value, int) and not isinstance(value, bool) else str(value).removeprefix("0o")
    if not text.isdigit() or set(text) - set("01234567") or int(text, 8) > 0o7777:
        raise ValueError("must be an octal mode such as 0o750")
    return text


def _user_id(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdigit():
        raise ValueError("must be a user id: names are known inside of the image only")
    return int(text)
