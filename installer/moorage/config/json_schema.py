"""The JSON Schema of moorage.yaml."""

from __future__ import annotations

from typing import Any

from moorage.config.schema import Config


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; an environment may override everything but `name` and `environments`."""
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "moorage.yaml"
    overridable = {key: value for key, value in schema["properties"].items() if key not in ("name", "environments")}
    schema["properties"]["environments"]["additionalProperties"] = {
        "type": "object",
        "properties": overridable,
        "additionalProperties": False,
    }
    schema["properties"]["domain"]["anyOf"] = [
        schema["properties"]["domain"].pop("anyOf", None) or {"$ref": "#/$defs/Domain"},
        {"type": "string"},
    ]
    schema["properties"]["domain"].pop("$ref", None)
    several = schema["properties"]["routes"]["additionalProperties"]
    schema["properties"]["routes"]["additionalProperties"] = {"anyOf": [several["items"], several]}
    return schema
