"""The named subset of the Compose specification: what is taken over, what is adapted, what is refused and why.

This table is the rule and the documentation at once: the parser asks it, `docs/app-format.md` is
generated from it. Nothing outside it is ever dropped without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["kept", "adapted", "refused"]


@dataclass(frozen=True)
class Rule:
    """What happens to one key, with a sentence for people."""

    verdict: Verdict
    note: str
    # A text besides the empty ones that asks for nothing, so that there is nothing to refuse.
    default: str = ""
    # Told only with --verbose: nothing that a person would decide otherwise.
    is_minor: bool = False

    def asks_for_nothing(self, value: object) -> bool:
        """Whether a value says only what holds without the key: `external: false`, `mode: replicated`."""
        if value in (None, False, "", [], {}):
            return True
        return isinstance(value, str) and value.lower() in {"false", "no", self.default}


def _kept(note: str = "") -> Rule:
    return Rule("kept", note)


def _adapted(note: str) -> Rule:
    return Rule("adapted", note)


def _minor(note: str) -> Rule:
    return Rule("adapted", note, is_minor=True)


def _refused(note: str, default: str = "") -> Rule:
    return Rule("refused", note, default)


TOP = {
    "services": _kept("the containers"),
    "volumes": _kept("named volumes"),
    "networks": _kept("networks between the app's own services; `external` is refused"),
    "configs": _kept("files or inline content, mounted read-only"),
    "secrets": _kept("files or variables, mounted read-only"),
    "name": _adapted("`name` of moorage.yaml names the deployment"),
    "version": _minor("obsolete in Compose itself, without effect"),
    "include": _refused("write one file; `docker compose config` prints the merged one"),
    "models": _refused("models are run by Docker Desktop only"),
}

_ROUTED = "HTTP ports become routes through Traefik, others need a line under `publish` in moorage.yaml"
_HOST = "the container would share the host's {}; name the service under `permissions.privileged` to insist"

SERVICE = {
    "image": _kept("the image; a tag or digest makes updates repeatable"),
    "build": _kept("how to build it: context, dockerfile, args, target, additional_contexts"),
    "command": _kept("text or list"),
    "entrypoint": _kept("text or list"),
    "environment": _kept("list or mapping; a value that uses a secret is handled as a secret"),
    "env_file": _kept(
        "read while rendering; what looks secret is handled as one, and a secret set by `moorage secrets` wins"
    ),
    "volumes": _kept("named volumes, tmpfs, and read-only files or folders beside the Compose file (copied)"),
    "tmpfs": _kept("in-memory folders"),
    "depends_on": _kept("with all conditions, without circles; a dependency on an adopted database points at ours"),
    "healthcheck": _kept("test, interval, timeout, retries, start_period, start_interval, disable"),
    "configs": _kept("short and long form"),
    "secrets": _kept("short and long form"),
    "networks": _kept("names and aliases"),
    "user": _kept(""),
    "group_add": _kept(""),
    "working_dir": _kept(""),
    "hostname": _kept(""),
    "domainname": _kept(""),
    "init": _kept(""),
    "tty": _kept(""),
    "stdin_open": _kept(""),
    "stop_grace_period": _kept("also how long a rolling update waits for requests in flight"),
    "stop_signal": _kept(""),
    "shm_size": _kept(""),
    "ulimits": _kept(""),
    "sysctls": _kept(""),
    "extra_hosts": _kept(""),
    "dns": _kept(""),
    "dns_search": _kept(""),
    "dns_opt": _kept(""),
    "read_only": _kept(""),
    "cap_add": _kept("added to what the strict defaults keep"),
    "cap_drop": _kept(""),
    "security_opt": _kept("`no-new-privileges` is always set unless `x-moorage.security` says otherwise"),
    "labels": _kept("but `traefik.*` labels are refused: routes are part of `x-moorage` or moorage.yaml"),
    "annotations": _kept(""),
    "platform": _kept(""),
    "deploy": _kept("`resources` and `replicas`; `restart_policy`, `update_config` and the rest belong to Swarm"),
    "mem_limit": _kept("as `deploy.resources.limits.memory`"),
    "mem_reservation": _kept("as `deploy.resources.reservations.memory`"),
    "cpus": _kept("as `deploy.resources.limits.cpus`"),
    "pids_limit": _kept(""),
    "scale": _kept("as `deploy.replicas`"),
    "network_mode": _kept("only `service:NAME` (a sidecar) and `none`"),
    "ports": _minor(_ROUTED),
    "expose": _minor("containers of one network reach every port anyway; taken as a hint for the route's port"),
    "restart": _minor(
        "every service is restarted unless stopped, but what others await the end of, and with `no` or `on-failure` what "
        "has no port and no health check"
    ),
    "container_name": _adapted("becomes a network alias, so that updates can run two containers side by side"),
    "logging": _adapted("replaced by rotation inside the log budget of moorage.yaml"),
    "pull_policy": _adapted("`images.pull` of moorage.yaml decides"),
    "profiles": _kept("a service with profiles is left out, unless `COMPOSE_PROFILES` names one or a job uses it"),
    "links": _minor("the names become network aliases"),
    "develop": _minor("only for `docker compose watch`, without effect on a server"),
    "attach": _minor("only for `docker compose up` in the foreground, without effect on a server"),
    "extends": _refused("write the service out; `docker compose config` prints it resolved"),
    "privileged": _refused(
        "the container could do anything to the host; name the service under `permissions.privileged` to insist"
    ),
    "devices": _refused(
        "host devices are not on every target; name the service under `permissions.privileged` to insist"
    ),
    "device_cgroup_rules": _refused("host devices are not on every target"),
    "gpus": _refused("not supported yet on any target"),
    "pid": _refused(_HOST.format("processes")),
    "ipc": _refused(_HOST.format("shared memory"), "private"),
    "uts": _refused(_HOST.format("host name")),
    "userns_mode": _refused(_HOST.format("user table")),
    "cgroup": _refused(_HOST.format("control groups"), "private"),
    "cgroup_parent": _refused("limits are set by moorage"),
    "volumes_from": _refused("mount the named volume in both services"),
    "external_links": _refused("a container outside the app; give its address by a variable"),
    "runtime": _refused("depends on what is installed on one host", "runc"),
    "isolation": _refused("only for Windows containers"),
    "credential_spec": _refused("only for Windows containers"),
    "provider": _refused("runs a program on the host outside of any container"),
    "models": _refused("models are run by Docker Desktop only"),
    "post_start": _refused("use a job in `x-moorage.jobs`"),
    "pre_stop": _refused("use `stop_signal` and `stop_grace_period`"),
    "use_api_socket": _refused("gives Docker's API to the container; see `permissions.docker_access`"),
    "mac_address": _refused("fixed addresses hinder two containers side by side"),
    "blkio_config": _refused("depends on the devices of one host"),
    "storage_opt": _refused("depends on the storage driver of one host"),
    "memswap_limit": _refused("use `mem_limit`"),
    "mem_swappiness": _refused("a property of the host"),
    "oom_kill_disable": _refused("a container without a limit can take the host down"),
    "oom_score_adj": _refused("a property of the host"),
    "cpu_count": _refused("use `cpus`"),
    "cpu_percent": _refused("use `cpus`"),
    "cpu_shares": _refused("use `cpus`"),
    "cpu_period": _refused("use `cpus`"),
    "cpu_quota": _refused("use `cpus`"),
    "cpu_rt_runtime": _refused("use `cpus`"),
    "cpu_rt_period": _refused("use `cpus`"),
    "cpuset": _refused("depends on the CPUs of one host; use `cpus`"),
    "label_file": _refused("write the labels under `labels`"),
    "net": _refused("obsolete; use `network_mode`"),
}

BUILD = {
    "context": _kept(""),
    "dockerfile": _kept(""),
    "dockerfile_inline": _kept(""),
    "args": _kept("a build argument that uses a secret is refused: arguments stay in the image's history"),
    "target": _kept(""),
    "additional_contexts": _kept(""),
    "platforms": _kept(""),
    "no_cache": _adapted("`moorage up --no-cache` decides"),
    "pull": _adapted("`images.pull` of moorage.yaml decides"),
    "cache_from": _kept(""),
    "labels": _kept(""),
    "network": _kept(""),
    "shm_size": _kept(""),
    "extra_hosts": _kept(""),
    "tags": _adapted("`images` of moorage.yaml names the image"),
    "cache_to": _refused("a matter of your build machine"),
    "secrets": _refused("build secrets need a build outside of moorage; push the image and name it"),
    "ssh": _refused("build secrets need a build outside of moorage; push the image and name it"),
    "privileged": _refused("the build could do anything to the host"),
    "isolation": _refused("only for Windows containers"),
    "ulimits": _kept(""),
    "entitlements": _refused("the build could do anything to the host"),
    "provenance": _kept(""),
    "sbom": _kept(""),
}

HEALTHCHECK = {
    key: _kept() for key in ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
}

DEPENDENCY = {
    "condition": _kept("service_started, service_healthy or service_completed_successfully"),
    "required": _kept("with `false` the other service may be missing"),
    "restart": _kept(),
}

PORT = {
    "target": _kept("the container's port"),
    "published": _kept("the host's port or a range of them"),
    "host_ip": _kept(),
    "protocol": _kept("tcp or udp"),
    "mode": _kept("without effect on one server"),
    "name": _kept("without effect"),
    "app_protocol": _kept("without effect"),
}

ENV_FILE = {
    "path": _kept("a file beside the Compose file"),
    "required": _kept("with `false` the file may be missing"),
    "format": _refused("write values as `NAME='value'`, which no reader changes"),
}

RESOURCES = {"limits": _kept("the most that a container may use"), "reservations": _kept("what it requests")}

AMOUNTS = {
    "cpus": _kept(),
    "memory": _kept(),
    "pids": _kept(),
    "devices": _refused("host devices are not on every target"),
    "generic_resources": _refused("belongs to Swarm"),
}

DEPLOY = {
    "resources": _kept("`limits` and `reservations` of cpus, memory and pids"),
    "replicas": _kept(""),
    "labels": _kept("on the container"),
    "restart_policy": _minor("every service is restarted unless stopped"),
    "update_config": _adapted("`x-moorage.rollout` decides"),
    "rollback_config": _adapted("`moorage rollback` goes back"),
    "mode": _refused("only `replicated`, which is the default", "replicated"),
    "placement": _refused("there is one server; Kubernetes has its own rules"),
    "endpoint_mode": _refused("belongs to Swarm", "vip"),
}

VOLUME = {
    "name": _kept("a fixed name"),
    "labels": _kept(""),
    "driver": _minor("only `local`"),
    "driver_opts": _refused("the volume's place differs per host; mount the disk where Docker keeps its volumes"),
    "external": _kept("somebody else made it: `check` and `up` make sure that it exists, nothing ever deletes it"),
}

EXTERNAL_VOLUME = {"name": _kept("the old form of `name`")}

NETWORK = {
    "name": _adapted("networks are named after the deployment"),
    "driver": _minor("only `bridge`"),
    "internal": _kept("no way out to the internet"),
    "labels": _kept(""),
    "attachable": _minor("without effect on one server"),
    "enable_ipv6": _kept(""),
    "enable_ipv4": _kept(""),
    "external": _refused("belongs to another stack; Traefik reaches the service without it, remove the network"),
    "driver_opts": _refused("depends on one host"),
    "ipam": _refused("fixed addresses hinder two containers side by side; use service names"),
}

FILE_OBJECT = {
    "file": _kept("a file beside the Compose file"),
    "content": _kept("inline text"),
    "environment": _kept("the value of a variable"),
    "name": _adapted("without effect outside Swarm"),
    "external": _refused("belongs to Swarm"),
    "template_driver": _refused("belongs to Swarm"),
    "labels": _adapted("belongs to Swarm"),
    "driver": _refused("belongs to Swarm"),
}

FILE_OBJECT_MOUNT = {
    "source": _kept("which one"),
    "target": _kept("where in the container"),
    "uid": _kept("the user who may read it"),
    "gid": _adapted("the file belongs to its user (`uid`) alone"),
    "mode": _adapted(
        "a secret is readable by its user alone, a config by everybody; only whether it is a program is kept"
    ),
}

MOUNT = {
    "type": _kept("volume, bind or tmpfs"),
    "source": _kept(""),
    "target": _kept(""),
    "read_only": _kept(""),
    "volume": _kept(""),
    "bind": _kept(""),
    "tmpfs": _kept(""),
    "consistency": _minor("only for Docker Desktop, without effect on a server"),
    "image": _refused("copy the files into a volume, or build them into the image"),
}

MOUNT_OPTIONS = {
    "volume": {
        "nocopy": _kept(""),
        "subpath": _kept(""),
        "labels": _refused("name the volume under `volumes`, and write its labels there"),
    },
    "bind": {
        "create_host_path": _minor("a missing folder becomes a named volume, a missing file is an error"),
        "selinux": _minor("files are copied, and mounted from the rendered folder"),
        "propagation": _refused("mounts of the host are no part of an app"),
        "recursive": _refused("mounts of the host are no part of an app"),
    },
    "tmpfs": {"size": _kept(""), "mode": _kept("an octal number")},
}

LEVELS = {
    "top level": TOP,
    "service": SERVICE,
    "build": BUILD,
    "healthcheck": HEALTHCHECK,
    "depends_on": DEPENDENCY,
    "env_file": ENV_FILE,
    "ports": PORT,
    "deploy": DEPLOY,
    "deploy.resources": RESOURCES,
    "deploy.resources.limits and reservations": AMOUNTS,
    "volume": VOLUME,
    "volume, external": EXTERNAL_VOLUME,
    "network": NETWORK,
    "config and secret": FILE_OBJECT,
    "configs and secrets of a service": FILE_OBJECT_MOUNT,
    "volumes of a service": MOUNT,
    **{f"volumes of a service, {kind}": options for kind, options in MOUNT_OPTIONS.items()},
}
