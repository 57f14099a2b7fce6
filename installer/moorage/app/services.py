"""One service of a Compose file → AppService."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.builds import read_build
from moorage.app.command_words import read_words
from moorage.app.dependencies import read_depends_on, read_links
from moorage.app.environment import read_environment
from moorage.app.extension import ServiceExtension
from moorage.app.health import read_health_check
from moorage.app.images import image_kind
from moorage.app.model import App, AppService
from moorage.app.mounts import MountReader
from moorage.app.ports import read_exposed, read_ports
from moorage.app.reader import Reader
from moorage.app.sizes import read_replicas, read_sizes
from moorage.app.variables import PROFILES
from moorage.config import rules
from moorage.formats import KeyPath, dotted
from moorage.quantities import parse_duration, parse_size
from moorage.sensitive import Sensitive, Text, reveal

# Carried to Compose as they are; Kubernetes rendering maps each to its own notion or refuses it by name.
CARRIED = (
    "user", "group_add", "working_dir", "hostname", "domainname", "init", "tty", "stdin_open", "stop_signal",
    "stop_grace_period", "shm_size", "ulimits", "sysctls", "extra_hosts", "dns", "dns_search", "dns_opt", "platform", "annotations",
)  # fmt: skip
_PRIVILEGES = ("privileged", "devices", "pid", "ipc", "uts", "userns_mode", "cgroup")


class ServiceReader:
    """Reads services of one file; knows the file's volumes, configs and secrets."""

    def __init__(
        self, reader: Reader, app: App, content: Mapping[str, Any], values: Mapping[str, Text], secrets: frozenset[str]
    ) -> None:
        self.reader = reader
        self.app = app
        self.values = values
        self.secrets = secrets
        services = content.get("services")
        self.services = services if isinstance(services, dict) else {}
        self.mounts = MountReader(reader, app, content, values)

    def read(self, name: str, value: Any, path: KeyPath) -> AppService:
        """The service; whatever is wrong with it is reported to the reader."""
        kept = self.reader.keys(self._without_allowed(value, path), path, subset.SERVICE, f"service {name}")
        extension = self.reader.model(ServiceExtension, kept.get("x-moorage"), (*path, "x-moorage"))
        image = self._image(kept.get("image"), (*path, "image"))
        # A database that is adopted gets our command and our health check: a secret in its own is no leak then.
        adoptable = bool(image) and image_kind(image) in self.app.adoptable
        with self.reader.apart(adoptable) as unless_adopted:
            command = self._command(kept, path, "command")
            health_check = read_health_check(self.reader, kept.get("healthcheck"), (*path, "healthcheck"))
        service = AppService(
            name=name,
            path=path,
            image=image,
            build=read_build(self.reader, kept.get("build"), (*path, "build"), self.values),
            command=command,
            command_words=read_words(self.reader, kept.get("command"), (*path, "command"), self.values)
            if adoptable
            else (),
            entrypoint=self._command(kept, path, "entrypoint"),
            environment=read_environment(self.reader, self.app, kept, path, self.values, self.secrets),
            ports=read_ports(self.reader, kept.get("ports"), (*path, "ports")),
            exposed=read_exposed(self.reader, kept.get("expose"), (*path, "expose")),
            mounts=self.mounts.read(name, kept, path),
            depends_on=read_depends_on(self.reader, kept.get("depends_on"), (*path, "depends_on")),
            health_check=health_check,
            sizes=read_sizes(self.reader, kept, path),
            replicas=read_replicas(self.reader, kept, path),
            networks=self._networks(kept.get("networks"), (*path, "networks")),
            aliases=read_links(self.reader, self.app, kept.get("links"), (*path, "links"), self.services),
            container_name=self.reader.text(kept.get("container_name"), (*path, "container_name")),
            network_mode=self._network_mode(kept.get("network_mode"), path),
            restart=self.reader.text(kept.get("restart"), (*path, "restart")),
            labels=self._labels(kept, path),
            cap_add=self.reader.texts(kept.get("cap_add"), (*path, "cap_add")),
            cap_drop=self.reader.texts(kept.get("cap_drop"), (*path, "cap_drop")),
            security_opt=self.reader.texts(kept.get("security_opt"), (*path, "security_opt")),
            read_only=None if "read_only" not in kept else self.reader.boolean(kept["read_only"], (*path, "read_only")),
            privileges=self._privileges(value),
            profiles=self._profiles(kept.get("profiles"), (*path, "profiles")),
            other=self._carried(kept, value if isinstance(value, dict) else {}, path),
            extension=extension,
            unless_adopted=tuple(unless_adopted),
        )
        if not service.image and service.build is None and self._says_nothing(value, path):
            self.reader.report(path, "needs an `image` or a `build`", of_key=True)
        return service

    def _says_nothing(self, value: Any, path: KeyPath) -> bool:
        """Whether the missing image is a mistake of its own, and not the consequence of one that is told already."""
        told = (dotted((*path, "image")), dotted((*path, "build")))
        return (value is None or isinstance(value, dict)) and not any(
            key.startswith(told) for key in (*self.reader.unfilled, *(problem.key for problem in self.reader.problems))
        )

    def _without_allowed(self, value: Any, path: KeyPath) -> Any:
        """Take out what the operator allows by name under `permissions.privileged`."""
        if not isinstance(value, dict) or path[1] not in self.mounts.privileged:
            return value
        return {key: item for key, item in value.items() if key not in _PRIVILEGES}

    def _privileges(self, value: Any) -> tuple[str, ...]:
        return tuple(key for key in _PRIVILEGES if isinstance(value, dict) and self._asks_for(value, key))

    @staticmethod
    def _asks_for(written: Mapping[str, Any], key: str) -> bool:
        return not subset.SERVICE[key].asks_for_nothing(written.get(key))

    def _image(self, value: Any, path: KeyPath) -> str:
        text = self.reader.text(value, path)
        if text:
            self.reader.parsed(text, path, rules.image)
        return text

    def _profiles(self, value: Any, path: KeyPath) -> tuple[str, ...]:
        """The profiles of a service that is left out; none when one of them is chosen."""
        written = self.reader.texts(value, path)
        chosen = {name.strip() for name in reveal(self.values.get(PROFILES, "")).split(",")}
        return () if chosen & {"*", *written} else written

    def _command(self, kept: Mapping[str, Any], path: KeyPath, key: str) -> tuple[str, ...] | None:
        value = kept.get(key)
        if value is None:
            return None
        if isinstance(value, (str, Sensitive)):
            try:
                return tuple(shlex.split(self.reader.text(value, (*path, key))))
            except ValueError as error:
                self.reader.report((*path, key), f"is not a valid command line: {error}", value=value)
                return None
        return self.reader.texts(value, (*path, key))

    def _networks(self, value: Any, path: KeyPath) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]]
        if isinstance(value, list):
            found = dict.fromkeys(self.reader.names(value, path), ())
        else:
            found = {
                name: self._aliases(settings, (*path, name))
                for name, settings in self.reader.mapping(value, path).items()
            }
        for name in found:
            if name != "default" and name not in self.app.networks and name not in ("edge", "data"):
                self.reader.report((*path, name), f"names the network `{name}`, which is not under `networks`")
        return found

    def _aliases(self, settings: Any, path: KeyPath) -> tuple[str, ...]:
        content = self.reader.mapping(settings, path)
        for key in content:
            if key not in ("aliases", "priority"):
                rule = "is not supported: fixed addresses hinder two containers side by side; use service names"
                self.reader.report((*path, key), rule, of_key=True)
        return self.reader.texts(content.get("aliases"), (*path, "aliases"))

    def _network_mode(self, value: Any, path: KeyPath) -> str:
        mode = self.reader.text(value, (*path, "network_mode"))
        if mode in ("", "bridge", "default") or mode.startswith("service:") or mode == "none":
            return mode if mode not in ("bridge", "default") else ""
        if mode == "host" and path[1] in self.mounts.privileged:
            return mode
        hint = "name the service under `permissions.privileged` in moorage.yaml to insist" if mode == "host" else ""
        self.reader.report(
            (*path, "network_mode"), "only `service:NAME` and `none` are supported", value=mode, hint=hint
        )
        return ""

    def _labels(self, kept: Mapping[str, Any], path: KeyPath) -> dict[str, str]:
        found = self.reader.plain_pairs(kept.get("labels"), (*path, "labels"))
        deploy = kept.get("deploy")
        if isinstance(deploy, dict):
            found |= self.reader.plain_pairs(deploy.get("labels"), (*path, "deploy", "labels"))
        # A label without a value is an empty one, to Compose too.
        labels = {name: text or "" for name, text in found.items()}
        for name in labels:
            if name.startswith("traefik."):
                self.reader.report(
                    (*path, "labels", name),
                    "is not supported: Traefik does not read container labels here, so that it needs no Docker socket",
                    hint="write the route under `routes` in moorage.yaml",
                    of_key=True,
                )
                break
        return labels

    def _carried(self, kept: Mapping[str, Any], written: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        carried = {key: kept[key] for key in CARRIED if kept.get(key) is not None}
        if path[1] in self.mounts.privileged:
            carried |= {key: written[key] for key in _PRIVILEGES if self._asks_for(written, key)}
        self.reader.no_secret(carried, path)
        for key, parse in (("stop_grace_period", parse_duration), ("shm_size", parse_size)):
            if key in carried and self.reader.parsed(carried[key], (*path, key), parse) is None:
                del carried[key]
        return carried
