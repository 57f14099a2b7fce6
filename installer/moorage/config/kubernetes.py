"""The `kubernetes` block of moorage.yaml: how the stack runs in a cluster, of minikube or EKS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from moorage.config import cluster_rules
from moorage.config.kinds import Directory, Model, Name, Network, Size, digits, example

Group = Annotated[str, BeforeValidator(cluster_rules.group), example("acme:developers")]
RoleArn = Annotated[
    str, BeforeValidator(cluster_rules.role_arn), example("arn:aws:iam::123456789012:role/acme-backups")
]
ClassName = Annotated[str, BeforeValidator(cluster_rules.class_name), example("fast-ssd")]


class Team(Model):
    """Groups of people, as the cluster's own log-in calls them, and what each may do in this namespace."""

    observer: tuple[Group, ...] = Field((), description="May look at everything but secrets.")
    debugger: tuple[Group, ...] = Field((), description="May also open a shell in a container and forward a port.")
    deployer: tuple[Group, ...] = Field((), description="May deploy: change whatever moorage renders.")
    admin: tuple[Group, ...] = Field((), description="May do everything in this namespace.")


class LoadBalancer(Model):
    """The address of the site in front of the proxy."""

    annotations: dict[str, str] = Field(
        default_factory=dict, description="For the cloud's controller; they win over those that moorage sets."
    )
    source_ranges: tuple[Network, ...] = Field((), description="The only networks that may reach the site.")
    external_dns: bool = Field(
        True, description="On EKS: whether external-dns makes the site's DNS records from the load balancer."
    )


class Minikube(Model):
    """The cluster on this machine, which `moorage up` starts."""

    profile: Name | None = Field(None, description="Its profile; default `kubernetes.context`, else the deployment.")
    driver: str = Field("docker", pattern=r"^[a-z0-9-]+$", description="What it runs in.")
    memory: Size | None = Field(None, description="Its main memory; default what minikube takes.")
    cpus: int | None = Field(None, ge=2, le=256, description="Its CPUs; default what minikube takes.")


class Kubernetes(Model):
    """How the stack runs in a cluster; of no effect on one server."""

    context: Annotated[str, BeforeValidator(cluster_rules.context)] | None = Field(
        None,
        description="The context of your kubeconfig; nothing is ever deployed to whatever the current one is. Default "
        "for minikube: the profile's name.",
    )
    kubeconfig: Directory | None = Field(
        None, description="Absolute path of the kubeconfig; default what $KUBECONFIG or your home folder has."
    )
    namespace: Name | None = Field(None, description="The namespace; default as Compose would call the project.")
    version: Annotated[
        Literal["1.35", "1.36", "1.37"],
        BeforeValidator(digits),
        WithJsonSchema({"enum": ["1.35", "1.36", "1.37", 1.35, 1.36, 1.37]}),
    ] = Field("1.35", description="The cluster's version.")
    overlay: Name | None = Field(
        None,
        description="The folder below `overlays/`; default `minikube`, on EKS `aws-` and the environment's name "
        "(`eks-production` gives `aws-production`).",
    )
    ingress: Literal["traefik", "nginx"] = Field(
        "traefik",
        description="`traefik`: the same proxy as on one server, in this namespace. `nginx`: an ingress-nginx that "
        "the cluster still runs; that project ended in March 2026.",
    )
    ingress_class: ClassName = Field("nginx", description="The class of that ingress-nginx.")
    storage_class: ClassName | None = Field(
        None, description="The class of all disks; default one of minikube's or ours on EKS (gp3, encrypted)."
    )
    snapshot_class: ClassName | None = Field(None, description="The class of snapshots of disks.")
    volumes: dict[str, Size] = Field(
        default_factory=dict,
        description="Sizes of disks by the name of the volume, `postgres-data` and `redis-data` included; default what "
        "the app's file says, else 5Gi.",
    )
    roles: dict[str, RoleArn] = Field(
        default_factory=dict,
        description="On EKS: AWS roles by service (or `backups`, or a component), taken by its pods without any key (IRSA).",
    )
    components: tuple[Name, ...] = Field(
        (),
        description="Parts that the app brings for clusters and that are off unless they are named here "
        "(OpenSail: `volume-hub`).",
    )
    load_balancer: LoadBalancer = LoadBalancer()
    team: Team = Team()
    minikube: Minikube = Minikube()
