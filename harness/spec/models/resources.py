"""A container's limits, as LinuxKit's schema has them; checked here, then handed on as a plain mapping."""

from typing import Annotated

from pydantic import Field

from harness.spec.models.base import Model

Int = int | None


class DeviceCgroup(Model):
    """A device class that a container may or may not use."""

    allow: bool | None = None
    type: str | None = None
    major: Int = None
    minor: Int = None
    access: str | None = None


class Memory(Model):
    """Limits of memory, in bytes."""

    limit: Int = None
    reservation: Int = None
    swap: Int = None
    kernel: Int = None
    kernel_tcp: Annotated[Int, Field(alias="kernelTCP")] = None
    swappiness: Int = None
    disable_oom_killer: Annotated[bool | None, Field(alias="disableOOMKiller")] = None


class Cpu(Model):
    """Limits of CPU time, in microseconds, and the CPUs to use."""

    shares: Int = None
    quota: Int = None
    period: Int = None
    realtime_runtime: Annotated[Int, Field(alias="realtimeRuntime")] = None
    realtime_period: Annotated[Int, Field(alias="realtimePeriod")] = None
    cpus: str | None = None
    mems: str | None = None


class Pids(Model):
    """The limit of processes."""

    limit: Int = None


class WeightDevice(Model):
    """One block device's weight."""

    major: Int = None
    minor: Int = None
    weight: Int = None
    leaf_weight: Annotated[Int, Field(alias="leafWeight")] = None


class ThrottleDevice(Model):
    """One block device's rate."""

    major: Int = None
    minor: Int = None
    rate: Int = None


Throttles = tuple[ThrottleDevice, ...] | None


class BlockIO(Model):
    """Limits of block input and output."""

    weight: Int = None
    leaf_weight: Annotated[Int, Field(alias="leafWeight")] = None
    weight_device: Annotated[tuple[WeightDevice, ...] | None, Field(alias="weightDevice")] = None
    read_bps: Annotated[Throttles, Field(alias="throttleReadBpsDevice")] = None
    write_bps: Annotated[Throttles, Field(alias="throttleWriteBpsDevice")] = None
    read_iops: Annotated[Throttles, Field(alias="throttleReadIOPSDevice")] = None
    write_iops: Annotated[Throttles, Field(alias="throttleWriteIOPSDevice")] = None


class HugepageLimit(Model):
    """The limit of one size of huge pages, in bytes."""

    page_size: Annotated[Int, Field(alias="pageSize", gt=0, multiple_of=1024)] = None  # spelled in KB and up
    limit: Int = None


class Priority(Model):
    """One network interface's priority."""

    name: str | None = None
    priority: Int = None


class Network(Model):
    """The class and priorities of network packets."""

    class_id: Annotated[Int, Field(alias="classID")] = None
    priorities: tuple[Priority, ...] | None = None


class Resources(Model):
    """All limits of a container."""

    devices: tuple[DeviceCgroup, ...] | None = None
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    blockio: BlockIO | None = None
    hugepage_limits: Annotated[tuple[HugepageLimit, ...] | None, Field(alias="hugepageLimits")] = None
    network: Network | None = None
