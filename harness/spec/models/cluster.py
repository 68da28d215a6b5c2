"""Hosts that run the cells of a plan together."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.spec.models.base import Limit, LoosePath, Model, NonEmptyText, Strings

Count = Annotated[int, Field(ge=1, le=10_000)]


class LocalHosts(Model):
    """Workers on this host alone."""

    workers: Count = Field(2, description="how many Dask workers; each takes one cell at once")


class SshHosts(Model):
    """Hosts that are reached by SSH."""

    hosts: Annotated[Strings, Field(min_length=1)] = Field(
        description="names or addresses, each a worker; the first runs the scheduler too"
    )
    user: NonEmptyText | None = Field(None, description="who logs in; as OpenSSH's configuration has it unless said")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(None, description="the SSH servers' port, likewise")
    key: LoosePath | None = Field(None, description="the private key, likewise; a path from here")
    known_hosts: LoosePath | None = Field(None, description="the servers' keys; `~/.ssh/known_hosts` unless said")
    python: NonEmptyText | None = Field(
        None, description="the Python of the environment that has the harness, on each host; the same path as here "
        "unless said"
    )  # fmt: skip


class SlurmHosts(Model):
    """Jobs of a Slurm cluster, each a worker."""

    jobs: Count = Field(description="how many jobs")
    cores: Count = Field(description="CPUs of each")
    memory: Annotated[str, Field(pattern=r"^[0-9]{1,6} ?[kMGT]i?B$")] = Field(
        description="memory of each, such as `8GB`"
    )
    partition: NonEmptyText | None = Field(None, description="the partition")
    account: NonEmptyText | None = Field(None, description="the account")
    time: NonEmptyText = Field("08:00:00", description="the time limit of each, as Slurm writes it")
    options: Strings = Field((), description="more options of `sbatch`, such as `--constraint=kvm`")
    interface: NonEmptyText | None = Field(None, description="the network interface that the hosts talk over")
    python: NonEmptyText | None = Field(None, description="the Python of the environment that has the harness")


class ClusterHosts(Model):
    """Where the hosts come from."""

    one_of = ("address", "local", "ssh", "slurm")

    address: NonEmptyText | None = Field(
        None, description="of a scheduler that runs already: `tls://HOST:PORT`, on this host's loopback also `tcp://`"
    )
    local: LocalHosts | None = Field(None, description="workers on this host")
    ssh: SshHosts | None = Field(None, description="hosts that are reached by SSH")
    slurm: SlurmHosts | None = Field(None, description="jobs of a Slurm cluster")


class Cluster(Model):
    """Hosts that run a plan's cells together."""

    given = ("name", "path")

    name: str
    path: Path
    cluster: ClusterHosts = Field(description="where the hosts come from: one of its four keys")
    certificates: LoosePath | None = Field(
        None, description="the folder that `harness cluster certificates` has written, a path from here; every host "
        "has it. Without one, workers on this host get some that live as long as the run"
    )  # fmt: skip
    boards: Strings = Field(
        (), description="boards and the host that holds each: `NAME@HOST`, as the host calls itself"
    )
    wait: Limit = Field(5, description="minutes to wait for a host that can run a cell, before it is not run")
