"""The app's components for clusters that moorage.yaml switches on, with nothing left to decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moorage.app.model import App, AppComponent, AppService
from moorage.config.kinds import Target
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.sensitive import Sensitive, Text
from moorage.stack.images import ImageFinder
from moorage.stack.model import Component, Service
from moorage.words import listed, nearest


def problems(loaded: LoadedConfig, app: App, services: tuple[Service, ...]) -> Iterator[Problem]:
    """What is wrong with `kubernetes.components`, and what a component that is on lacks. None on a server."""
    config, known = loaded.config, app.extension.kubernetes_components
    if config.target == "compose":
        return
    for index, name in enumerate(config.kubernetes.components):
        path = ("kubernetes", "components", index)
        if name not in known:
            near = nearest(name, known)
            hint = "" if near else f"components: {listed(known, 'and')}" if known else "it has none"
            rule = f"names the component `{name}`, which the app does not have"
            yield loaded.problem(path, rule, suggestion=near, hint=hint)
        elif name in config.kubernetes.components[:index]:
            yield loaded.problem(path, f"names the component `{name}` twice")
    namespace = config.kubernetes.namespace or app.extension.namespace
    for component in app.components.values():
        if component.extension.namespace == namespace:
            rule = f"is the namespace of the component `{component.name}`, which must have it alone"
            yield loaded.problem(("kubernetes", "namespace"), rule)
        for variable in component.extension.requires:
            if not config.env.get(variable):
                about = app.extension.variables[variable].describe if variable in app.extension.variables else ""
                rule = f"is required by the component `{component.name}`" + (f": {about}" if about else "")
                yield loaded.problem(("env", variable), rule, hint=f"add `{variable}: …` under `env`")
        yield from _lost_flows(loaded, component, app.services.keys() - {service.name for service in services})


def _lost_flows(loaded: LoadedConfig, component: AppComponent, left_out: set[str]) -> Iterator[Problem]:
    """A component that needs a service which this target leaves out would wait for it for ever."""
    declared = component.extension
    named = {
        service for flows in (declared.reaches, declared.reached_by) for item in flows.values() for service in item
    }
    for service in sorted(named & left_out):
        rule = f"has `{component.name}`, which needs the service `{service}`; it does not run on {loaded.config.target}"
        yield loaded.problem(("kubernetes", "components"), rule)


def build(loaded: LoadedConfig, app: App, images: ImageFinder) -> tuple[Component, ...]:
    """The finished components, in the order of the app's file."""
    return tuple(_component(loaded, app, images, item) for item in app.components.values())


def _component(loaded: LoadedConfig, app: App, images: ImageFinder, item: AppComponent) -> Component:
    declared = item.extension
    return Component(
        name=item.name,
        describe=declared.describe,
        namespace=declared.namespace,
        pod_security=declared.pod_security,
        files=item.files,
        # One that is not there was told when the file was read.
        images={
            name: images.image(app.services[service])
            for name, service in declared.images.items()
            if service in app.services
        },
        settings={name: value for name, value in item.settings.items() if isinstance(value, str)},
        # One that nobody set is left out: who looks for it takes another way.
        secret_settings={
            name: value for name, value in item.settings.items() if isinstance(value, Sensitive) and value.reveal()
        },
        reached_by=_flows(declared.reached_by),
        reaches=_flows(declared.reaches),
        role=loaded.config.kubernetes.roles.get(item.name, ""),
        keeps=declared.keeps,
    )


def _flows(written: Mapping[str, Mapping[str, tuple[int, ...]]]) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    return tuple(
        (workload, service, ports) for workload, services in written.items() for service, ports in services.items()
    )


def variables_for(app: App, service: AppService, target: Target) -> Iterator[tuple[str, Text | None]]:
    """What a service gets beside its own environment: by the target, then by each component; None takes it away."""
    yield from service.extension.environment.get(target, {}).items()
    for component in app.components.values():
        yield from component.environment.get(service.name, {}).items()


def image_services(app: App) -> frozenset[str]:
    """The services that are nothing but images of components: built only while theirs is on."""
    known = app.extension.kubernetes_components.values()
    return frozenset(service for declared in known for service in declared.images.values())
