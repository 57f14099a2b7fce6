"""The kinds of values that configuration files hold, each with its rule and with what its JSON Schema says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from moorage.config import rules
from moorage.quantities import parse_cpu, parse_size


def example(text: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [text]})


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512Mi", "2Gi"]}),
]
Cpu = Annotated[
    int,
    BeforeValidator(parse_cpu),
    WithJsonSchema({"type": ["string", "number"], "examples": [0.5, "500m"]}),
]
Port = Annotated[
    int,
    BeforeValidator(rules.port),
    WithJsonSchema({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[0-9]+$"}),
]
Name = Annotated[str, BeforeValidator(rules.name), example("staging")]
EnvironmentName = Annotated[str, BeforeValidator(rules.environment_name), example("staging")]
DeploymentName = Annotated[str, BeforeValidator(rules.deployment_name), example("acme")]
HostName = Annotated[str, BeforeValidator(rules.host_name), example("notes.example.com")]
RouteHost = Annotated[str, BeforeValidator(rules.route_host), example("admin")]
ServerHost = Annotated[str, BeforeValidator(rules.server_host), example("db.example.com")]
Email = Annotated[str, BeforeValidator(rules.email), example("ops@example.com")]
Network = Annotated[str, BeforeValidator(rules.network), example("10.0.0.0/8")]
Address = Annotated[str, BeforeValidator(rules.address), example("127.0.0.1")]
Url = Annotated[str, BeforeValidator(rules.url), example("https://example.com/path")]
Image = Annotated[str, BeforeValidator(rules.image), example("ghcr.io/acme/web:1.2.3")]
Cron = Annotated[str, BeforeValidator(rules.cron), example("30 3 * * *")]
VariableName = Annotated[str, BeforeValidator(rules.variable_name), example("SMTP_HOST")]
TraefikVersion = Annotated[
    str,
    BeforeValidator(rules.traefik_version),
    WithJsonSchema({"type": "string", "pattern": r"^v3\.[0-9]+(\.[0-9]+)?$"}),
]
RoutePath = Annotated[str, BeforeValidator(rules.route_path), example("/api")]
Directory = Annotated[str, BeforeValidator(rules.directory), example("/mnt/backups")]
Argument = Annotated[str, BeforeValidator(rules.argument)]
Target = Literal["compose", "minikube", "eks"]


def _value(value: object) -> str:
    if value is None:
        raise ValueError('must have a value; write `""` for an empty text or leave the key out')
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise ValueError("must be a single value, not a list or a mapping")
    text = str(value)
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def digits(value: object) -> object:
    """A version that YAML read as a number: `17` means "17"."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Value = Annotated[str, BeforeValidator(_value), WithJsonSchema({"type": ["string", "number", "boolean"]})]


class Model(BaseModel):
    """The base of all configuration blocks: unknown keys are errors, values do not change."""

    # Built when first used: most of the models are only parts of others.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
