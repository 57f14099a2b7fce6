"""Names and places that the Compose renderer and the deployer both rely on."""

from __future__ import annotations

COMPOSE_FOLDER = "compose"
COMPOSE_FILE = "compose.yaml"
# The operator's own file, below the deployment folder; its copy below the private folder is what Compose reads.
OVERRIDE_FILE = "overrides/compose.yaml"
FACTS_FILE = "stack.json"

TRAEFIK = "traefik"
EDGE_ROUTES = "edge-routes"
SOCKET_PROXY = "socket-proxy"
PLATFORM_SERVICES = (TRAEFIK, EDGE_ROUTES, SOCKET_PROXY)

SOCKET_VOLUME = "postgres-socket"
WORK_VOLUME = "backup-work"
NIGHT_SCRIPT = "backups/night.sh"
# Below `releases/<environment>/`: while it is there, a restore exchanges old and new. `night.sh` and timers look for it.
EXCHANGE_MARK = "exchange"

ROUTES_FILE = "traefik/dynamic/routes.yaml"
ROLLOUT_FILE = "rollout.yaml"
AGAIN_FILE = "again.yaml"

LABEL_REVISION = "moorage.revision"
LABEL_DEPLOYMENT = "moorage.deployment"
LABEL_ROLLOUT = "moorage.rollout"
LABEL_RUNS = "moorage.runs"
LABEL_JOB = "moorage.job"

# Where the units look; `moorage up` fills in the deployment's own path when it installs them.
FOLDER_MARK = "@COMPOSE_FOLDER@"
README_MARK = "@README@"


def private_folder(environment: str) -> str:
    """The folder of an environment's derived secrets, below the deployment folder."""
    return f"secrets/{environment}/compose"


def metrics_folder(environment: str) -> str:
    """Where nights write their numbers, below the deployment folder: a Prometheus text file and `status.json`."""
    return f"releases/{environment}/backups"


def from_compose_folder(path: str) -> str:
    """A path below the deployment folder as seen from `rendered/<environment>/compose/`."""
    return f"../../../{path}"
