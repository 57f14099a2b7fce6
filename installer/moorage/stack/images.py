"""Which image a service runs: its full name, and whether it is built here or pulled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moorage.app.model import App, AppService
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.stack.model import ExtraImage, Image


class ImageFinder:
    """Finds the images of one app; sources that are missing are reported."""

    def __init__(self, loaded: LoadedConfig, app: App, report: Callable[[Problem], None]) -> None:
        self.loaded = loaded
        self.app = app
        self.report = report

    def image(self, service: AppService) -> Image:
        """The image's full name, and whether it is built here."""
        images = self.loaded.config.images
        override = images.overrides.get(service.name)
        if override:
            return Image(override)
        reference = service.image
        if not reference:
            prefix = f"{images.registry.rstrip('/')}/" if images.registry else ""
            reference = f"{prefix}{self.loaded.config.name}-{service.name}:{images.tag}"
        if service.build is None or (images.registry and not images.source):
            return Image(reference)
        self._check_sources(service)
        return Image(reference, service.build, "source" if images.source else "app")

    def _check_sources(self, service: AppService) -> None:
        """A built-in app's sources are not part of moorage, except for the demo's."""
        build = service.build
        if not self.app.builtin or self.loaded.config.images.source or build is None or build.context.startswith("$"):
            return
        folder = self.app.folder / build.context
        if (not (folder / (build.dockerfile or "Dockerfile")).is_file() and "dockerfile_inline" not in build.other) or (
            "dockerfile_inline" in build.other and not self._has_more_than_the_app_file(folder)
        ):
            self.report(self._sources_problem())

    def _sources_problem(self) -> Problem:
        return self.loaded.problem(
            ("images",),
            f"needs `source` or `registry`: the sources of {self.app.name} are not part of moorage",
            hint="`source: ../checkout` builds the images here, `registry: ghcr.io/you` pulls them",
        )

    @staticmethod
    def _has_more_than_the_app_file(folder: Path) -> bool:
        return any(item.name not in ("compose.yaml", "README.md") for item in folder.iterdir())

    def extra_image(self, service: AppService) -> ExtraImage:
        """An image that the app starts containers from itself; a registry has it below its own prefix."""
        images = self.loaded.config.images
        image = self.image(service)
        if image.build is None and images.registry and service.name not in images.overrides:
            image = Image(f"{images.registry.rstrip('/')}/{service.image.partition(':')[0]}:{images.tag}")
        return ExtraImage(service.image, image)
