"""The JSON Schema of moorage.yaml agrees with what is really accepted."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from moorage.config.json_schema import json_schema
from moorage.config.loading import load_config
from moorage.formats import parse_yaml

GOOD = "name: acme\napp: notes\ndomain: notes.example.com\n"


def by_schema(text: str) -> bool:
    return jsonschema.Draft202012Validator(json_schema()).is_valid(parse_yaml(text, "f").value)


def by_program(text: str) -> bool:
    return not load_config(parse_yaml(text, "f"), "compose")[1]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "more",
    [
        "",
        "tls: {mode: internal-ca}",
        "domain: {name: a.example.com, wildcard: true}",
        "resources: {host: {memory: 2Gi, cpus: 4, disk: nvme}, services: {web: {cpu: 0.5, memory: 512m}}}",
        "resources: {services: {web: {cpu: 500m, memory: 1073741824}}}",
        "environments: {staging: {domain: staging.example.com, env: {A: 1}}}",
        "env: {A: text, B: 1, C: true, D: 1.5}",
        "routes: {web: [{port: 80}], api: [{port: 81, host: api, paths: [/v1]}]}",
        "routes: {web: {port: 80}}",
        "postgres: {version: 16}",
        "redis: {version: 7}",
        "publish: [{service: git, port: 22, protocol: tcp}]",
        "edge: {http_port: '8080', https_port: 8443}",
        "backups: {stores: [{name: a, directory: /backups}]}",
        "secrets: [TOKEN]",
    ],
)
def test_what_is_accepted_fits_the_schema(more: str) -> None:
    content: dict[str, Any] = parse_yaml(GOOD, "f").value | (parse_yaml(more, "f").value or {})
    text = GOOD.replace("domain: notes.example.com\n", "") if "domain" in more.partition(":")[0] else GOOD
    assert by_program(text + more)
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(content)


@pytest.mark.parametrize(
    "text",
    [
        "name: acme\napp: notes\n",
        GOOD + "nonsense: 1\n",
        GOOD + "tls: {mode: nonsense}\n",
        GOOD + "tls: {nonsense: 1}\n",
        GOOD + "environments: {staging: {name: other}}\n",
        GOOD + "environments: {staging: {nonsense: 1}}\n",
        GOOD + "edge: {http_port: 0}\n",
        GOOD + "logs: {max_files: 1}\n",
        "- a\n",
    ],
)
def test_what_does_not_fit_the_schema_is_not_accepted(text: str) -> None:
    assert not by_schema(text)
    environment = "staging" if "staging" in text else "compose"
    assert load_config(parse_yaml(text, "f"), environment)[1]
