"""How a container is confined, and how far that is what Pod Security calls restricted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moorage.app.model import HostMount
from moorage.stack.model import Service
from moorage.targets.k8s.mounts import mounted

# All that a restricted pod may add.
_RESTRICTED_CAPABILITIES = {"NET_BIND_SERVICE"}
# Beyond these a pod is not even a baseline one.
_BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip


def security_context(service: Service) -> dict[str, Any]:
    """The container's `securityContext`."""
    settings = service.security
    if service.other.get("privileged"):
        return {"privileged": True}
    data: dict[str, Any] = {
        "allowPrivilegeEscalation": not settings.no_new_privileges,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": settings.read_only,
    }
    if settings.cap_add:
        data["capabilities"]["add"] = list(settings.cap_add)
    user, group = user_of(service)
    if user is not None:
        data["runAsUser"] = user
        data["runAsNonRoot"] = user != 0
    if group is not None:
        data["runAsGroup"] = group
    return data


def user_of(service: Service) -> tuple[int | None, int | None]:
    """The numbers of user and group, as far as the app's file gives numbers; a name is known to the image only."""
    user, _, group = str(service.other.get("user", "")).partition(":")
    return (int(user) if user.isdigit() else None), (int(group) if group.isdigit() else None)


def exceptions(service: Service) -> Iterator[str]:
    """Why a service's pod is not restricted, one reason each; nothing for one that is."""
    user, _ = user_of(service)
    if user is None:
        yield "its image decides as which user it runs: `user:` with a number says that it is not root"
    elif user == 0:
        yield "it runs as root"
    added = sorted(set(service.security.cap_add) - _RESTRICTED_CAPABILITIES)
    if added:
        yield f"it keeps capabilities: {', '.join(added)}"
    if not service.security.no_new_privileges:
        yield "its programs may gain rights"
    if service.network_mode == "host":
        yield "it is in the network of the host"
    if _host_paths(service):
        yield f"it mounts folders of the host: {', '.join(_host_paths(service))}"


def level(services: tuple[Service, ...], *, has_backups: bool) -> str:
    """The strictest level of Pod Security that takes all of them; the backup job reads files of all users, as root."""
    if not has_backups and all(not list(exceptions(service)) for service in services):
        return "restricted"
    if any(_is_beyond_baseline(service) for service in services):
        return "privileged"
    return "baseline"


def _is_beyond_baseline(service: Service) -> bool:
    added = set(service.security.cap_add) - _BASELINE_CAPABILITIES
    return bool(added or service.privileges or service.network_mode == "host" or _host_paths(service))


def _host_paths(service: Service) -> list[str]:
    return sorted({mount.source for mount in mounted(service) if isinstance(mount, HostMount)})
