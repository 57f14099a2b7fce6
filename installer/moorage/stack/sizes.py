"""Memory and logs of a whole stack: what each container gets, and whether it fits into the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from moorage.app.adoption import Adoption
from moorage.app.model import App, AppService, Notice
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.formats import dotted
from moorage.quantities import MEBIBYTE, human_size
from moorage.stack import budget
from moorage.stack.model import Host, LogLimits
from moorage.stack.platform import edge as edge_platform
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.stack.services import included_services, run_count, sizes_of

# Docker takes no smaller limits, and says so only when the container is made.
_SMALLEST_MEMORY = 6 * MEBIBYTE
_SMALLEST_CPU = 10
# What a service that asks for nothing needs at least; more is taken from what Postgres leaves.
_SMALL_SERVICE = 64 * MEBIBYTE


@dataclass(frozen=True)
class MemoryShares:
    """A limit for every service of the app, and what everything but Postgres takes from the host."""

    services: dict[str, int]
    beside_postgres: int


@dataclass(frozen=True)
class LogShares:
    """The rotation of the platform's containers, and that of the app's."""

    platform: LogLimits
    app: LogLimits


@dataclass(frozen=True)
class _Platform:
    """Memory of the platform's own containers and of the system under them, in bytes."""

    limits: int
    requests: int
    postgres_limit: int
    postgres_request: int


class SizePlanner:
    """Divides what the host has among the containers of one stack."""

    def __init__(
        self,
        loaded: LoadedConfig,
        app: App,
        adoption: Adoption,
        host: Host,
        report: Callable[[Problem], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self.loaded = loaded
        self.app = app
        self.adoption = adoption
        self.host = host
        self.report = report
        self.tell = tell
        config, requires = loaded.config, app.extension.requires
        self.services = tuple(included_services(app, config.target))
        self.has_postgres = config.postgres.mode == "bundled" and bool(requires.postgres or adoption.postgres)
        self.has_redis = config.redis.mode == "bundled" and bool(requires.redis or adoption.redis)

    def logs(self) -> LogShares:
        """Rotations with which all logs together stay inside `logs.total`, also during a rolling update."""
        settings, extension = self.loaded.config.logs, self.app.extension
        # Traefik, and the one that publishes its routes.
        platform = 2 + extension.creates_containers + self.has_postgres + self.has_redis
        app = sum(2 * max(1, run_count(self.loaded, service)) for service in self.services) + len(extension.jobs)
        try:
            found = budget.share_logs(settings.total, platform, app, settings.max_files, settings.max_size)
        except budget.WrongLogSize as error:
            value = human_size(getattr(settings, error.key))
            self.report(self.loaded.problem(("logs", error.key), str(error), value=value))
            smallest = LogLimits(budget.SMALLEST_LOG, 2)
            return LogShares(smallest, smallest)
        return LogShares(*found)

    def memory(self) -> MemoryShares:
        """A memory limit for every service of the app; what cannot fit is reported, what may not fit is told."""
        claims = [self._claim(service) for service in self.services]
        platform = self._platform()
        self._check_smallest(claims)
        if self._fits_alone(claims, platform):
            self._check_requests(claims, platform)
        left = self.host.memory - platform.limits - platform.postgres_limit
        shares = budget.share_memory(claims, left)
        together = budget.memory_total(shares, claims) + platform.limits + platform.postgres_limit
        if together > self.host.memory:
            self.tell(
                Notice(
                    "memory",
                    f"all limits together ({human_size(together)}) are above the host's "
                    f"{human_size(self.host.memory)}: when everything is busy at once, the kernel ends a container",
                )
            )
        asked = sum((claim.sizes.memory or _SMALL_SERVICE) * claim.count for claim in claims)
        return MemoryShares(shares, platform.limits + asked)

    def _claim(self, service: AppService) -> budget.Claim:
        return budget.Claim(service.name, sizes_of(self.loaded, service), max(1, run_count(self.loaded, service)))

    def _platform(self) -> _Platform:
        reserve = budget.system_reserve(self.host.memory)
        limits, requests = reserve + edge_platform.MEMORY, reserve + edge_platform.MEMORY_REQUEST
        if self.has_redis:
            redis = redis_platform.memory_limit(self.loaded, self.adoption.redis)
            limits += redis
            requests += redis_platform.memory_request(redis)
        postgres = postgres_platform.memory_limit(self.loaded, self.host) if self.has_postgres else 0
        return _Platform(limits, requests, postgres, postgres_platform.memory_request(postgres))

    def _check_smallest(self, claims: list[budget.Claim]) -> None:
        """Limits that no container can be made with."""
        for claim in claims:
            for key, size, smallest, written in (
                ("memory", claim.sizes.memory, _SMALLEST_MEMORY, "6Mi"),
                ("cpu", claim.sizes.cpu, _SMALLEST_CPU, "10m"),
            ):
                if size is not None and size < smallest:
                    path = ("resources", "services", claim.name, key)
                    rule = f"is less for {claim.name} than Docker's smallest limit, {written}"
                    self.report(self.loaded.problem(path, rule))
        for name, job in self.app.extension.jobs.items():
            if job.memory is not None and job.memory < _SMALLEST_MEMORY:
                path = ("x-moorage", "jobs", name, "memory")
                place = self.app.document.place(path)
                self.report(Problem(place, dotted(path), "is less than Docker's smallest limit, 6Mi"))

    def _fits_alone(self, claims: list[budget.Claim], platform: _Platform) -> bool:
        """Whether no limit is above the host's memory on its own."""
        host = human_size(self.host.memory)
        larger = [claim for claim in claims if (claim.sizes.memory or 0) > self.host.memory]
        for claim in larger:
            path = ("resources", "services", claim.name, "memory")
            rule = f"is {human_size(claim.sizes.memory or 0)} for {claim.name}, more than the host's {host}"
            self.report(self.loaded.problem(path, rule))
        databases = {"postgres": platform.postgres_limit, "redis": self.loaded.config.redis.memory * self.has_redis}
        too_large = {kind: size for kind, size in databases.items() if size > self.host.memory}
        for kind, size in too_large.items():
            rule = f"is above the host's {host}"
            self.report(self.loaded.problem((kind, "memory"), rule, value=human_size(size)))
        return not larger and not too_large

    def _check_requests(self, claims: list[budget.Claim], platform: _Platform) -> None:
        """What must always be there, for the system and for every container."""
        requested = sum((claim.sizes.memory_request or 0) * claim.count for claim in claims)
        requested += platform.requests + platform.postgres_request
        if requested > self.host.memory:
            self.report(
                self.loaded.problem(
                    ("resources", "host", "memory"),
                    f"is less than the services request together ({human_size(requested)})",
                    value=human_size(self.host.memory),
                    hint="a larger server, or smaller requests under `resources.services`",
                )
            )
