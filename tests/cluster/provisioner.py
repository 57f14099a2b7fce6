"""A provisioner of volumes: folders on the node that the scheduler chose, as small clusters have them.

It answers claims of the default storage class `standard`. A volume that nobody claims any more is removed with its folder.
"""

from __future__ import annotations

from typing import Any

from kubernetes.dynamic import DynamicClient
from real_node import VOLUMES, RealNode

Json = dict[str, Any]

PROVISIONER = "moorage.test/folder"
STORAGE_CLASS = "standard"


class Provisioner:
    """Makes volumes for claims; call `look` again and again."""

    def __init__(self, api: DynamicClient, node: RealNode | None = None) -> None:
        """Prepare for a cluster, whose node has folders or only reports."""
        self._node = node
        self._claims = api.resources.get(api_version="v1", kind="PersistentVolumeClaim")
        self._volumes = api.resources.get(api_version="v1", kind="PersistentVolume")
        self._classes = api.resources.get(api_version="storage.k8s.io/v1", kind="StorageClass")

    def register(self) -> None:
        """Add the default storage class."""
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        self._classes.create(
            body={
                "metadata": {"name": STORAGE_CLASS, "annotations": default},
                "provisioner": PROVISIONER,
                "volumeBindingMode": "WaitForFirstConsumer",
                "reclaimPolicy": "Delete",
            }
        )

    def look(self) -> None:
        """Look at every claim and volume once."""
        volumes = [each for each in self._volumes.get().to_dict()["items"] if _is_ours(each)]
        for volume in filter(_is_left_over, volumes):
            self._volumes.delete(name=volume["metadata"]["name"])
            if self._node:
                self._node.remove_folder(volume["spec"]["hostPath"]["path"])
        made = {volume["metadata"]["name"] for volume in volumes}
        for claim in filter(_waits, self._claims.get().to_dict()["items"]):
            if _volume_name(claim) not in made:
                volume = volume_for(claim)
                if self._node:
                    self._node.make_folder(volume["spec"]["hostPath"]["path"])
                self._volumes.create(body=volume)


def volume_for(claim: Json) -> Json:
    """Return the volume that answers a claim, on the node that the scheduler chose for its pod."""
    meta, spec, name = claim["metadata"], claim["spec"], _volume_name(claim)
    node = meta["annotations"]["volume.kubernetes.io/selected-node"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    return {
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": f"{VOLUMES}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
            "claimRef": reference,
        },
    }


def _waits(claim: Json) -> bool:
    annotations = claim["metadata"].get("annotations", {})
    is_ours = annotations.get("volume.kubernetes.io/storage-provisioner") == PROVISIONER
    has_node = "volume.kubernetes.io/selected-node" in annotations
    return is_ours and has_node and claim["status"].get("phase") == "Pending"


def _is_ours(volume: Json) -> bool:
    return bool(volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/provisioned-by") == PROVISIONER)


def _is_left_over(volume: Json) -> bool:
    is_released = volume["status"].get("phase") == "Released" and "deletionTimestamp" not in volume["metadata"]
    return is_released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def _volume_name(claim: Json) -> str:
    return f"pvc-{claim['metadata']['uid']}"
