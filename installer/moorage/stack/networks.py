"""The app's own networks under names that are free: `edge`, `data`, `backup` and `app` are names of the platform's too."""

from __future__ import annotations

from moorage.app.model import App
from moorage.stack.model import APP_NETWORK, BACKUP_NETWORK, DATA_NETWORK, EDGE_NETWORK

_DEFAULT = "default"
# The proxy's way to Docker, for apps that create containers.
_PLATFORM = (EDGE_NETWORK, DATA_NETWORK, BACKUP_NETWORK, "socket-proxy")


def own_names(app: App) -> dict[str, str]:
    """What each network of the app's file is called in the stack; `default` is always among them."""
    names: dict[str, str] = {}
    for name in (*app.networks, _DEFAULT):
        if name in names:
            continue
        wanted = APP_NETWORK if name == _DEFAULT else name
        if wanted in _PLATFORM or (name == _DEFAULT and APP_NETWORK in app.networks):
            wanted = f"app-{name}"
        while wanted in names.values() or (wanted != name and wanted in app.networks):
            wanted += "-own"
        names[name] = wanted
    return names


def are_internal(app: App) -> dict[str, bool]:
    """Whether each network of the stack that is the app's has no way out; sorted by name."""
    names = own_names(app)
    found = {names[name]: network.internal for name, network in app.networks.items()}
    return dict(sorted(found.items()))
