"""What both kinds of databases have in common when they are adopted: which settings keep their meaning."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.app.images import image_kind
from moorage.app.model import App, AppService, Carried, FileMount, HostMount, MemoryMount, VolumeMount
from moorage.errors import Problem
from moorage.formats import dotted
from moorage.sensitive import Sensitive, Text, reveal

# Set on moorage's container as they were written.
_CARRIED = ("hostname", "domainname", "ulimits", "sysctls", "extra_hosts", "dns", "dns_search", "dns_opt", "platform")
# Another process or terminal around the server changes nothing; the rest is told as replaced.
_HARMLESS = ("init", "tty", "stdin_open", "shm_size", "stop_signal", "stop_grace_period", "annotations")
# Names and numbers under which the images run their server anyway, Debian's and Alpine's.
_ACCOUNTS = {"postgres": ("postgres", "999", "70"), "redis": ("redis", "valkey", "999"), "": ()}
_EXTENSION = {"targets", "port", "health", "resources", "replicas"}
_HARMLESS_FILES = ("/etc/localtime", "/etc/timezone")
SECRETS_FOLDER = "/run/secrets"


class Unadoptable(Exception):
    """Why a service stays as it is; never holds a secret."""


def public(value: Text | None, what: str) -> str:
    """A text that goes into rendered files and so must not be secret."""
    if isinstance(value, Sensitive):
        raise Unadoptable(f"its {what} uses a secret, which would stand in a rendered file")
    return value or ""


def carried(service: AppService) -> Carried:
    """What is set on our container as well. Raises Unadoptable for a setting that would lose its meaning."""
    reason = next(_own_ways(service), "")
    if reason:
        raise Unadoptable(reason)
    return Carried(
        {name: service.other[name] for name in _CARRIED if name in service.other},
        tuple(mount for mount in service.mounts if isinstance(mount, HostMount) and _is_harmless(mount)),
    )


def _own_ways(service: AppService) -> Iterator[str]:
    if service.entrypoint is not None:
        yield "it has an entrypoint of its own"
    if service.network_mode:
        yield f"it has `network_mode: {service.network_mode}`"
    if service.privileges or service.cap_add:
        yield f"it has more rights than ours ({', '.join((*service.privileges, *service.cap_add))})"
    yield from (
        f"it has `security_opt: {option}`"
        for option in service.security_opt
        if option.replace("=", ":") not in ("no-new-privileges", "no-new-privileges:true")
    )
    yield from (
        f"it sets `{name}`, which has no place in ours"
        for name in service.other
        if name not in _CARRIED + _HARMLESS and not (name == "user" and _is_own_account(service))
    )
    yield from (
        f"its x-moorage has `{name}`" for name in sorted(service.extension.model_fields_set) if name not in _EXTENSION
    )
    if (service.replicas or 1) > 1 or any(count > 1 for count in service.extension.replicas.values()):
        yield "it has several replicas"
    yield from (
        f"it waits until {name} has done its work"
        for name, dependency in service.depends_on.items()
        if dependency.condition == "service_completed_successfully"
    )


def _is_own_account(service: AppService) -> bool:
    """Whether `user` says what the image does by itself."""
    return str(service.other["user"]).partition(":")[0] in _ACCOUNTS[image_kind(service.image)]


def _is_harmless(mount: object) -> bool:
    return isinstance(mount, HostMount) and mount.read_only and mount.source in _HARMLESS_FILES


def data_mount(
    service: AppService, places: tuple[str, ...], files: tuple[str, ...], memory: tuple[str, ...]
) -> VolumeMount | None:
    """The volume at one of the places where data lies.

    Raises Unadoptable for anything else but files below `files` and memory where our container has it as well.
    """
    found: VolumeMount | None = None
    for mount in service.mounts:
        if isinstance(mount, VolumeMount) and mount.target in places and found is None:
            found = mount
        elif not (_is_harmless(mount) or _is_below(mount, files) or _is_memory(mount, memory)):
            raise Unadoptable(f"it mounts something at {mount.target}")
    if found is not None and (found.subpath or found.read_only):
        raise Unadoptable(f"it mounts only a part of its volume `{found.volume}`, or cannot write it")
    return found


def _is_below(mount: object, folders: tuple[str, ...]) -> bool:
    return isinstance(mount, FileMount) and any(f"{mount.target}/".startswith(f"{folder}/") for folder in folders)


def _is_memory(mount: object, places: tuple[str, ...]) -> bool:
    return isinstance(mount, MemoryMount) and mount.target in places


def volume_name(app: App, service: AppService, mount: VolumeMount | None) -> str:
    """The volume that is mounted, or one of the service's own; reports a name that something else has."""
    if mount is not None:
        return mount.volume
    name = f"{service.name}-data"
    if name in app.volumes:
        path = ("volumes", name)
        place = app.document.place(path, of_key=True)
        rule = f"is the name of the volume that moorage makes for the database `{service.name}`"
        hint = f"choose another name, or give `{service.name}` a volume of its own"
        app.problems.append(Problem(place, dotted(path), rule, hint=hint))
    return name


def aliases(app: App, service: AppService) -> tuple[str, ...]:
    """The names besides its own by which other services reach it, sorted."""
    names = {alias for group in service.networks.values() for alias in group}
    names |= {service.container_name, *app.link_aliases.get(service.name, ())}
    return tuple(sorted(names - {"", service.name}))


def has_own_name(app: App, mount: VolumeMount | None) -> bool:
    """Whether the data may be older than this deployment."""
    volume = app.volumes.get(mount.volume) if mount else None
    return volume is not None and volume.has_own_name


def file_content(service: AppService, path: str) -> Text:
    """The content of a file that is mounted at a path, without the newlines at its end; empty when there is none."""
    for mount in service.mounts:
        if isinstance(mount, FileMount) and path and mount.target == path:
            content = mount.files.get("", "")
            text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else reveal(content)
            _check_text(text, path)
            # As the images' entry points read it.
            kept = text.rstrip("\n")
            return kept if isinstance(content, str) else Sensitive(kept)
    return ""


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unadoptable(f"the file at {path} is not text") from None
