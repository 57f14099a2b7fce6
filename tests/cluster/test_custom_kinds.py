"""Objects of kinds that other projects define, held by a real API server to the definitions that those publish."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import golden_trees
import pytest
import yaml
from access import Access
from golden_trees import moved
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from tests.golden.manifests import Object

pytestmark = pytest.mark.cluster

# Kinds of ours that no Kubernetes has by itself; a new one needs its definition in definitions.py.
KINDS = {"Certificate", "Issuer", "VolumeSnapshotClass"}
# Texts under names that anybody chooses: no definition says anything about them.
_FREE = {"annotations", "labels", "parameters"}
_APPLY = "application/apply-patch+yaml"


@pytest.fixture(scope="module")
def objects(custom_cluster: Access) -> list[Object]:
    """Every different object of such a kind that any golden tree has."""
    added, found = added_kinds(custom_cluster), {}
    for item in golden_trees.all_objects():
        if item["kind"] in added:
            item = moved(item, item["metadata"].get("namespace", ""), "default")
            found[json.dumps(item, sort_keys=True)] = item
    return list(found.values())


def added_kinds(cluster: Access) -> set[str]:
    """The kinds that were added to the cluster."""
    text = cluster.kubectl("get", "customresourcedefinitions", "-o", "jsonpath={.items[*].spec.names.kind}")
    return set(text.split())


def test_the_trees_have_no_kind_that_was_not_looked_at(custom_cluster: Access, objects: list[Object]) -> None:
    """Whatever is neither Kubernetes' own nor defined by what definitions.py fetches is not known at all."""
    lines = custom_cluster.kubectl("api-resources", "--no-headers").splitlines()
    known = {(line.split()[-3], line.split()[-1]) for line in lines}
    used = {(item["apiVersion"], item["kind"]) for item in golden_trees.all_objects()}
    assert not used - known
    assert {item["kind"] for item in objects} == KINDS


def test_each_is_taken_strictly(custom_cluster: Access, objects: list[Object]) -> None:
    api = DynamicClient(custom_cluster.api())
    for item in objects:
        assert not refusal(api, item), yaml.safe_dump(item)


def test_a_misspelt_field_is_refused_wherever_it_stands(custom_cluster: Access, objects: list[Object]) -> None:
    api = DynamicClient(custom_cluster.api())
    mutants = [mutant for item in objects for mutant in misspelt(item)]
    assert len(mutants) > 20
    for place, mutant in mutants:
        assert "field not declared in schema" in refusal(api, mutant) or "unknown field" in refusal(api, mutant), place


def test_a_value_of_another_type_is_refused_wherever_it_stands(custom_cluster: Access, objects: list[Object]) -> None:
    api = DynamicClient(custom_cluster.api())
    mutants = [mutant for item in objects for mutant in of_another_type(item)]
    assert len(mutants) > 20
    for place, mutant in mutants:
        assert refusal(api, mutant), place


def refusal(api: DynamicClient, item: Object) -> str:
    """Why the server would not take an object; nothing when it would."""
    kind = api.resources.get(api_version=item["apiVersion"], kind=item["kind"])
    place = {"name": item["metadata"]["name"], "namespace": item["metadata"].get("namespace")}
    asked = {"field_manager": "moorage", "field_validation": "Strict", "dry_run": "All", "content_type": _APPLY}
    try:
        kind.patch(body=item, **place, **asked)
    except DynamicApiError as error:
        return str(error.body)
    return ""


def misspelt(item: Object) -> Iterator[tuple[str, Object]]:
    """The object again and again, each time with another field's name wrong."""
    for path, _ in fields(item):
        changed = copy.deepcopy(item)
        parent = at(changed, path[:-1])
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
        yield ".".join(map(str, path)), changed


def of_another_type(item: Object) -> Iterator[tuple[str, Object]]:
    """The object again and again, each time with an object or a text where another type must be."""
    for path, value in fields(item):
        changed = copy.deepcopy(item)
        at(changed, path[:-1])[path[-1]] = "text" if isinstance(value, dict | list) else {"other": 1}
        yield ".".join(map(str, path)), changed


def fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every field of an object whose name a definition gives, with its place."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from fields(each, (*path, index))
    if isinstance(value, dict):
        for name, each in value.items():
            if path or name not in ("apiVersion", "kind", "metadata"):
                yield (*path, name), each
                if name not in _FREE:
                    yield from fields(each, (*path, name))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """What stands at a place."""
    for part in path:
        value = value[part]
    return value
