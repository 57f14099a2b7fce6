"""How a container is confined: capabilities, setuid programs, its root file system."""

from __future__ import annotations

import re
from collections.abc import Iterable

from moorage.app.model import AppService
from moorage.stack.model import Security

# What images need that start as root, prepare their folders and then drop to a user. Docker's own default
# also keeps NET_RAW, MKNOD, AUDIT_WRITE, SYS_CHROOT and SETFCAP, which a web app has no use for.
_START_AS_ROOT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
)

# With one of these a process leaves its container: they are `privileged` in pieces.
_LIKE_ROOT_ON_THE_HOST = frozenset({"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH"})


# Everything else may mean no confinement at all: `unconfined`, `disable`, or a profile of the app's own.
_HARMLESS_OPTION = re.compile(
    r"no-new-privileges([:=](true|false))?|seccomp[:=]builtin|apparmor[:=]docker-default|label[:=]level[:=].*"
)


def security(service: AppService) -> Security:
    """The strict defaults, with what the app's file adds and takes away."""
    wanted = service.extension.security
    drop, added = _capabilities(service.cap_drop), _capabilities(service.cap_add)
    kept = _START_AS_ROOT if wanted.capabilities is None and "ALL" not in drop else wanted.capabilities or ()
    options = tuple(option for option in service.security_opt if not option.startswith("no-new-privileges"))
    loosened = any(option.replace("=", ":") == "no-new-privileges:false" for option in service.security_opt)
    return Security(
        # Beside `ALL` in `cap_add` Docker takes away only what is named.
        cap_drop=("ALL", *sorted(drop - {"ALL"})) if "ALL" in added else ("ALL",),
        cap_add=("ALL",) if "ALL" in added else tuple(sorted((_capabilities(kept) | added) - drop)),
        read_only=wanted.read_only or bool(service.read_only),
        no_new_privileges=wanted.no_new_privileges and not loosened,
        security_opt=options,
    )


def rights_of_root(service: AppService) -> list[str]:
    """The capabilities it asks for with which a process leaves its container; sorted."""
    asked = _capabilities((*service.cap_add, *(service.extension.security.capabilities or ())))
    return sorted(_LIKE_ROOT_ON_THE_HOST & asked)


def loosened_options(service: AppService) -> list[str]:
    """Its `security_opt` that take a part of the confinement away; as written, sorted."""
    return sorted(option for option in service.security_opt if not _HARMLESS_OPTION.fullmatch(option))


def _capabilities(names: Iterable[str]) -> frozenset[str]:
    """Capabilities in the kernel's spelling without its prefix, as Docker takes them: in any case."""
    return frozenset(name.upper().removeprefix("CAP_") for name in names)
