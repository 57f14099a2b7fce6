"""One service of a Compose file → AppService."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.command_words import read_words
from moorage.app.env_file import read_env_file
from moorage.app.extension import ServiceExtension
from moorage.app.images import image_kind
from moorage.app.model import App, AppService, Build, Dependency, HealthCheck, PublishedPort, Sizes
from moorage.app.mounts import MountReader
from moorage.app.reader import Reader
from moorage.config import rules
from moorage.formats import KeyPath
from moorage.quantities import parse_cpu, parse_duration, parse_size
from moorage.sensitive import Sensitive, Text
from moorage.words import listed

# Carried to Compose as they are; Kubernetes rendering maps each to its own notion or refuses it by name.
CARRIED = (
    "user", "group_add", "working_dir", "hostname", "domainname", "init", "tty", "stdin_open", "stop_signal",
    "stop_grace_period", "shm_size", "ulimits", "sysctls", "extra_hosts", "dns", "dns_search", "dns_opt", "platform",
)  # fmt: skip
_PRIVILEGES = ("privileged", "devices", "pid", "ipc")
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_PORT = re.compile(
    r"^(?:(?P<address>\[[0-9a-fA-F:]+\]|[0-9.]+):)?(?:(?P<host>\d+(?:-\d+)?)?:)?(?P<container>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp))?$"
)


class ServiceReader:
    """Reads services of one file; knows the file's volumes, configs and secrets."""

    def __init__(
        self, reader: Reader, app: App, content: Mapping[str, Any], values: Mapping[str, Text], secrets: frozenset[str]
    ) -> None:
        self.reader = reader
        self.app = app
        self.values = values
        self.secrets = secrets
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
            health_check = self._health_check(kept.get("healthcheck"), (*path, "healthcheck"))
        service = AppService(
            name=name,
            path=path,
            image=image,
            build=self._build(kept.get("build"), (*path, "build")),
            command=command,
            command_words=read_words(self.reader, kept.get("command"), (*path, "command"), self.values)
            if adoptable
            else (),
            entrypoint=self._command(kept, path, "entrypoint"),
            environment=self._environment(kept, path),
            ports=tuple(self._ports(kept.get("ports"), (*path, "ports"))),
            exposed=self._exposed(kept.get("expose"), (*path, "expose")),
            mounts=self.mounts.read(name, kept, path),
            depends_on=self._depends_on(kept.get("depends_on"), (*path, "depends_on")),
            health_check=health_check,
            sizes=self._sizes(kept, path),
            replicas=self._replicas(kept, path),
            networks=self._networks(kept.get("networks"), (*path, "networks")),
            aliases=self._links(kept.get("links"), (*path, "links")),
            container_name=self.reader.text(kept.get("container_name"), (*path, "container_name")),
            network_mode=self._network_mode(kept.get("network_mode"), path),
            restart=self.reader.text(kept.get("restart"), (*path, "restart")),
            labels=self._labels(kept, path),
            cap_add=self.reader.texts(kept.get("cap_add"), (*path, "cap_add")),
            cap_drop=self.reader.texts(kept.get("cap_drop"), (*path, "cap_drop")),
            security_opt=self.reader.texts(kept.get("security_opt"), (*path, "security_opt")),
            read_only=None if "read_only" not in kept else self.reader.boolean(kept["read_only"], (*path, "read_only")),
            privileges=self._privileges(value),
            profiles=self.reader.texts(kept.get("profiles"), (*path, "profiles")),
            other=self._carried(kept, value if isinstance(value, dict) else {}, path),
            extension=extension,
            unless_adopted=tuple(unless_adopted),
        )
        if not service.image and service.build is None:
            self.reader.report(path, "needs an `image` or a `build`", of_key=True)
        return service

    def _without_allowed(self, value: Any, path: KeyPath) -> Any:
        """Take out what the operator allows by name under `permissions.privileged`."""
        if not isinstance(value, dict) or path[1] not in self.mounts.privileged:
            return value
        return {key: item for key, item in value.items() if key not in _PRIVILEGES}

    def _privileges(self, value: Any) -> tuple[str, ...]:
        return tuple(key for key in _PRIVILEGES if isinstance(value, dict) and value.get(key))

    def _image(self, value: Any, path: KeyPath) -> str:
        text = self.reader.text(value, path)
        if text:
            self.reader.parsed(text, path, rules.image)
        return text

    def _build(self, value: Any, path: KeyPath) -> Build | None:
        if value is None:
            return None
        if isinstance(value, str):
            return Build(context=value)
        kept = self.reader.keys(value, path, subset.BUILD, f"service {path[1]}, build")
        text = self.reader.text
        return Build(
            context=text(kept.get("context"), (*path, "context"), "."),
            dockerfile=text(kept.get("dockerfile"), (*path, "dockerfile")),
            target=text(kept.get("target"), (*path, "target")),
            arguments=self._plain_pairs(kept.get("args"), (*path, "args")),
            additional_contexts=self._plain_pairs(kept.get("additional_contexts"), (*path, "additional_contexts")),
            other={
                key: item
                for key, item in kept.items()
                if subset.BUILD[key].verdict == "kept"
                and key not in ("context", "dockerfile", "target", "args", "additional_contexts")
            },
        )

    def _plain_pairs(self, value: Any, path: KeyPath) -> dict[str, str]:
        pairs = self.reader.pairs(value, path)
        return {name: self.reader.text(item, (*path, name)) for name, item in pairs.items() if item is not None}

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

    def _environment(self, kept: Mapping[str, Any], path: KeyPath) -> dict[str, Text]:
        result = self._env_files(kept.get("env_file"), (*path, "env_file"))
        place = (*path, "environment")
        for name, value in self.reader.pairs(kept.get("environment"), place).items():
            text = self._environment_value(name, value, (*place, name))
            if text is not None:
                result[name] = text
        return result

    def _environment_value(self, name: str, value: Any, path: KeyPath) -> Text | None:
        try:
            rules.variable_name(name.replace(".", "_").replace("-", "_"))
        except ValueError as error:
            self.reader.report(path, str(error), of_key=True)
            return None
        if value is None:
            # Passed through when it has a value; an optional secret that nobody set has none.
            found = self.values.get(name)
            return None if isinstance(found, Sensitive) and not found.reveal() else found
        if isinstance(value, Sensitive):
            return value
        return self.reader.text(value, path)

    def _env_files(self, value: Any, path: KeyPath) -> dict[str, Text]:
        result: dict[str, Text] = {}
        for index, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            required = True
            if isinstance(item, dict):
                required = self.reader.boolean(item.get("required"), (*path, index, "required"), True)
                item = item.get("path")
            name = self.reader.text(item, (*path, index))
            file = self.reader.folder / name
            if not file.is_file():
                if required:
                    self.reader.report(
                        path, "the file does not exist", value=name, hint="create it beside the Compose file"
                    )
                continue
            found, problems = read_env_file(file, name, {**self.values, **result}, self.secrets)
            result.update(found)
            self.reader.problems.extend(problems)
        return result

    def _ports(self, value: Any, path: KeyPath) -> list[PublishedPort]:
        result: list[PublishedPort] = []
        for index, item in enumerate(self.reader.sequence(value, path)):
            here = (*path, index)
            if isinstance(item, dict):
                result.extend(self._long_port(item, here))
                continue
            text = self.reader.text(item, here)
            match = _PORT.match(text)
            if match is None:
                self.reader.report(here, "must be a port such as 8080:80 or 127.0.0.1:8080:80/tcp", value=text)
                continue
            result.extend(
                self._expanded(
                    match["address"] or "", match["host"], match["container"], match["protocol"] or "tcp", here
                )
            )
        return result

    def _long_port(self, item: Mapping[str, Any], path: KeyPath) -> list[PublishedPort]:
        for key in item:
            if key not in ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"):
                self.reader.report((*path, key), "is not a key of a port", of_key=True)
        target = self.reader.text(item.get("target"), (*path, "target"))
        published = self.reader.text(item.get("published"), (*path, "published")) or None
        protocol = self.reader.text(item.get("protocol"), (*path, "protocol"), "tcp")
        address = self.reader.text(item.get("host_ip"), (*path, "host_ip"))
        if not re.fullmatch(r"\d+(-\d+)?", target):
            self.reader.report((*path, "target"), "must be a port", value=target)
            return []
        return self._expanded(address, published, target, protocol, path)

    def _expanded(
        self, address: str, host: str | None, container: str, protocol: str, path: KeyPath
    ) -> list[PublishedPort]:
        inside, outside = _span(container), _span(host) if host else None
        numbers = [*inside, *(outside or [])]
        if not inside or any(not 1 <= number <= 65535 for number in numbers):
            self.reader.report(path, "must use ports between 1 and 65535", value=f"{host or ''}:{container}")
            return []
        if outside is not None and len(outside) != len(inside):
            self.reader.report(path, "has port ranges of different lengths", value=f"{host}:{container}")
            return []
        outer: list[int | None] = list(outside) if outside is not None else [None] * len(inside)
        return [
            PublishedPort(inner, published, protocol, address.strip("[]"), path)
            for inner, published in zip(inside, outer, strict=True)
        ]

    def _exposed(self, value: Any, path: KeyPath) -> tuple[int, ...]:
        found: list[int] = []
        for index, item in enumerate(self.reader.sequence(value, path)):
            text = self.reader.text(item, (*path, index)).partition("/")[0]
            number = self.reader.parsed(text, (*path, index), rules.port) if "-" not in text else None
            if number:
                found.append(number)
        return tuple(found)

    def _depends_on(self, value: Any, path: KeyPath) -> dict[str, Dependency]:
        if isinstance(value, list):
            return {self.reader.text(item, (*path, index)): Dependency() for index, item in enumerate(value)}
        result: dict[str, Dependency] = {}
        for name, settings in self.reader.mapping(value, path).items():
            content = self.reader.mapping(settings, (*path, name))
            condition = self.reader.text(content.get("condition"), (*path, name, "condition"), "service_started")
            if condition not in _CONDITIONS:
                self.reader.report((*path, name, "condition"), f"must be {listed(_CONDITIONS)}", value=condition)
                continue
            result[name] = Dependency(
                condition,  # type: ignore[arg-type]
                self.reader.boolean(content.get("required"), (*path, name, "required"), True),
                self.reader.boolean(content.get("restart"), (*path, name, "restart")),
            )
        return result

    def _health_check(self, value: Any, path: KeyPath) -> HealthCheck | None:
        if value is None:
            return None
        kept = self.reader.keys(value, path, subset.HEALTHCHECK, f"service {path[1]}, healthcheck")
        test = kept.get("test")
        words = (
            ("CMD-SHELL", self.reader.text(test, (*path, "test")))
            if isinstance(test, (str, Sensitive))
            else self.reader.texts(test, (*path, "test"))
        )
        disabled = self.reader.boolean(kept.get("disable"), (*path, "disable")) or words[:1] == ("NONE",)
        if words and words[0] not in ("CMD", "CMD-SHELL", "NONE"):
            self.reader.report((*path, "test"), "must start with CMD, CMD-SHELL or NONE", value=words[0])
        if not words and not disabled:
            self.reader.report(
                path, "needs a `test`; it cannot change the timing of a check inside the image", of_key=True
            )
        return HealthCheck(
            test=words,
            interval_seconds=self._seconds(kept, path, "interval", 30),
            timeout_seconds=self._seconds(kept, path, "timeout", 30),
            retries=int(self.reader.parsed(kept.get("retries"), (*path, "retries"), _count) or 3),
            start_period_seconds=self._seconds(kept, path, "start_period", 60),
            start_interval_seconds=self._seconds(kept, path, "start_interval", 1),
            disabled=disabled,
        )

    def _seconds(self, kept: Mapping[str, Any], path: KeyPath, key: str, default: float) -> float:
        value = self.reader.parsed(kept.get(key), (*path, key), parse_duration)
        return default if value is None else float(value)

    def _sizes(self, kept: Mapping[str, Any], path: KeyPath) -> Sizes:
        place = (*path, "deploy")
        deploy = self.reader.keys(kept.get("deploy"), place, subset.DEPLOY, f"service {path[1]}, deploy")
        resources = self.reader.mapping(deploy.get("resources"), (*place, "resources"))
        limits = self._resource_keys(resources, (*place, "resources"), "limits")
        requests = self._resource_keys(resources, (*place, "resources"), "reservations")
        parsed = self.reader.parsed
        where = (*place, "resources", "limits")
        sizes = Sizes(
            memory=parsed(limits.get("memory"), (*where, "memory"), parse_size)
            or parsed(kept.get("mem_limit"), (*path, "mem_limit"), parse_size),
            memory_request=parsed(requests.get("memory"), (*place, "resources", "reservations", "memory"), parse_size)
            or parsed(kept.get("mem_reservation"), (*path, "mem_reservation"), parse_size),
            cpu=parsed(limits.get("cpus"), (*where, "cpus"), parse_cpu)
            or parsed(kept.get("cpus"), (*path, "cpus"), parse_cpu),
            cpu_request=parsed(requests.get("cpus"), (*place, "resources", "reservations", "cpus"), parse_cpu),
            processes=parsed(limits.get("pids"), (*where, "pids"), _count)
            or parsed(kept.get("pids_limit"), (*path, "pids_limit"), _count),
        )
        if sizes.memory and sizes.memory_request and sizes.memory_request > sizes.memory:
            place = (
                (*path, "mem_reservation")
                if "mem_reservation" in kept
                else (*place, "resources", "reservations", "memory")
            )
            self.reader.report(place, "reserves more memory than the limit allows")
        return sizes

    def _resource_keys(self, resources: Mapping[str, Any], path: KeyPath, key: str) -> dict[str, Any]:
        content = self.reader.mapping(resources.get(key), (*path, key))
        for name in content:
            if name not in ("cpus", "memory", "pids"):
                self.reader.report((*path, key, name), "is not supported: only cpus, memory and pids are", of_key=True)
        return content

    def _replicas(self, kept: Mapping[str, Any], path: KeyPath) -> int | None:
        deploy = kept.get("deploy")
        value = deploy.get("replicas") if isinstance(deploy, dict) else None
        found = self.reader.parsed(
            value if value is not None else kept.get("scale"), (*path, "deploy", "replicas"), _count_or_zero
        )
        return None if found is None else int(found)

    def _networks(self, value: Any, path: KeyPath) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]]
        if isinstance(value, list):
            found = {self.reader.text(item, (*path, index)): () for index, item in enumerate(value)}
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
                rule = "is not supported: fixed addresses hinder two containers side by side"
                self.reader.report((*path, key), rule, of_key=True)
        return self.reader.texts(content.get("aliases"), (*path, "aliases"))

    def _links(self, value: Any, path: KeyPath) -> tuple[str, ...]:
        names: list[str] = []
        for index, item in enumerate(self.reader.sequence(value, path)):
            service, separator, alias = self.reader.text(item, (*path, index)).partition(":")
            if separator and alias != service:
                self.app.link_aliases.setdefault(service, []).append(alias)
            names.append(service)
        return tuple(names)

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
        labels = self._plain_pairs(kept.get("labels"), (*path, "labels"))
        deploy = kept.get("deploy")
        if isinstance(deploy, dict):
            labels |= self._plain_pairs(deploy.get("labels"), (*path, "deploy", "labels"))
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
            carried |= {key: written[key] for key in _PRIVILEGES if written.get(key)}
        for key, value in carried.items():
            self._no_secret(value, (*path, key))
        for key, parse in (("stop_grace_period", parse_duration), ("shm_size", parse_size)):
            if key in carried and self.reader.parsed(carried[key], (*path, key), parse) is None:
                del carried[key]
        return carried

    def _no_secret(self, value: Any, path: KeyPath) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                self._no_secret(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._no_secret(item, (*path, index))
        elif isinstance(value, Sensitive):
            self.reader.text(value, path)


def _span(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1))[:1000] if dash else [int(first)]


def _count(value: object) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(str(value)) < 1:
        raise ValueError("must be a whole number of at least 1")
    return int(str(value))


def _count_or_zero(value: object) -> int:
    if isinstance(value, bool) or not str(value).isdigit():
        raise ValueError("must be a whole number")
    return int(str(value))
