"""Variables and files of services: ConfigMaps by hashed generators, Secrets in a folder that is never committed.

A generator reads an env file line by line and every character of a value: nothing is quoted there, unlike in Compose's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from moorage.app.model import FileMount
from moorage.sensitive import Sensitive, Text
from moorage.stack.model import Service, Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.mounts import is_private, key_of
from moorage.tree import Tree

Generator = dict[str, Any]
# A value with one of these has a file of its own: a line ends there.
_LINE_ENDS = ("\n", "\r")


def add_config(tree: Tree, folder: str, name: str, values: Mapping[str, str]) -> Generator | None:
    """The files of a ConfigMap with variables, below `folder`; gives its generator, None for no variables."""
    if not values:
        return None
    lines = {key: value for key, value in values.items() if not any(end in value for end in _LINE_ENDS)}
    generator: Generator = {"name": name}
    if lines:
        tree.add(f"{folder}/config/{name}.env", "".join(f"{key}={lines[key]}\n" for key in sorted(lines)))
        generator["envs"] = [f"config/{name}.env"]
    others = sorted(values.keys() - lines.keys())
    for key in others:
        tree.add(f"{folder}/config/{name}/{key}", values[key])
    if others:
        generator["files"] = [f"{key}=config/{name}/{key}" for key in others]
    return generator


def add_files(
    tree: Tree, folder: str, name: str, files: Mapping[str, bytes], *, has_fixed_name: bool = False
) -> Generator:
    """The files of a ConfigMap, by their paths inside of the mount; gives its generator.

    With a fixed name its content may change below whoever uses it: nothing is rolled.
    """
    sources = []
    for path in sorted(files):
        place = f"files/{name}/{path or 'file'}"
        tree.add(f"{folder}/{place}", files[path])
        sources.append(f"{key_of(path)}={place}")
    options = {"options": {"disableNameSuffixHash": True}} if has_fixed_name else {}
    return {"name": name, "files": sources, **options}


def service_generators(tree: Tree, folder: str, service: Service) -> list[Generator]:
    """The ConfigMaps of one service."""
    found = [add_config(tree, folder, names.config_name(service.name), service.environment)]
    for mount in service.mounts:
        if isinstance(mount, FileMount) and not is_private(mount):
            contents = {path: _bytes(content) for path, content in mount.files.items()}
            found.append(add_files(tree, folder, names.files_name(service.name, mount.name), contents))
    return [generator for generator in found if generator is not None]


def add_secret(
    private: Tree, name: str, values: Mapping[str, Sensitive | bytes], *, kind: str = "Opaque", namespace: str = ""
) -> None:
    """One Secret as a file of its own, 0600, for `kubectl apply -k` of the private folder; none for no values.

    Without a `namespace` it belongs into the app's.
    """
    if not values:
        return
    content = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "labels": {names.LABEL_MANAGED: names.FIELD_MANAGER},
        },
        "type": kind,
        "data": {key: _base64(value) for key, value in sorted(values.items())},
    }
    # JSON is YAML, and no value can mean anything else in it.
    private.add(f"{name}.json", json.dumps(content, indent=1) + "\n", 0o600)


def service_secrets(private: Tree, service: Service) -> None:
    """The Secrets of one service: its variables, and each mount with a secret in it."""
    add_secret(private, names.secret_name(service.name), service.secret_environment)
    for mount in service.mounts:
        if isinstance(mount, FileMount) and is_private(mount):
            contents: dict[str, Sensitive | bytes] = {
                key_of(path): content if isinstance(content, Sensitive) else _bytes(content)
                for path, content in mount.files.items()
            }
            add_secret(private, names.files_name(service.name, mount.name), contents)


def secrets_digest(stack: Stack, services: tuple[Service, ...]) -> str:
    """A fingerprint of all secrets of a pod: another one means new pods.

    Keyed by a secret of the deployment, so that nobody can guess a weak password from a committed folder.
    """
    parts: list[object] = []
    for service in services:
        parts.append({key: value.reveal() for key, value in sorted(service.secret_environment.items())})
        for mount in service.mounts:
            if isinstance(mount, FileMount) and is_private(mount):
                parts.append(
                    [mount.name, {path: _bytes(content).hex() for path, content in sorted(mount.files.items())}]
                )
    return digest(stack, parts)


def digest(stack: Stack, parts: list[object]) -> str:
    """The fingerprint of secret things that JSON can hold; empty for none."""
    if not any(parts):
        return ""
    text = json.dumps(parts, sort_keys=True)
    return hmac.new(stack.revision_key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def _bytes(content: bytes | Text) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() if isinstance(content, str) else content.reveal().encode("utf-8", "surrogateescape")


def _base64(value: Sensitive | bytes) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else _bytes(value)).decode()
