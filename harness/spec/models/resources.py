"""A container's limits, as LinuxKit's schema has them; checked here, then handed on as a plain mapping."""

from typing import Annotated

from pydantic import Field

from harness.spec.models.base import Model

Int = int | None


class DeviceCgroup(Model):
    """A device class that a container may or may not use."""

    allow: bool | None = Field(None, description="it may, or may not")
    type: str | None = Field(None, description="`a`, `b` or `c`")
    major: Int = Field(None, description="major number")
    minor: Int = Field(None, description="minor number")
    access: str | None = Field(None, description="some of `r`, `w`, `m` (read, write, make)")


class Memory(Model):
    """Limits of memory, in bytes."""

    limit: Int = Field(None, description="bytes at most")
    reservation: Int = Field(None, description="bytes that it keeps when memory is short")
    swap: Int = Field(None, description="bytes of memory and swap at most")
    kernel: Int = Field(None, description="bytes of kernel memory at most")
    kernel_tcp: Annotated[Int, Field(alias="kernelTCP", description="bytes of TCP buffers at most")] = None
    swappiness: Int = Field(None, description="0 to 100: how readily it is swapped")
    disable_oom_killer: Annotated[
        bool | None, Field(alias="disableOOMKiller", description="let it wait for memory instead of killing it")
    ] = None


class Cpu(Model):
    """Limits of CPU time, in microseconds, and the CPUs to use."""

    shares: Int = Field(None, description="its weight against others")
    quota: Int = Field(None, description="microseconds in each period at most")
    period: Int = Field(None, description="length of a period in microseconds")
    realtime_runtime: Annotated[
        Int, Field(alias="realtimeRuntime", description="microseconds of real-time work in each period at most")
    ] = None
    realtime_period: Annotated[
        Int, Field(alias="realtimePeriod", description="length of a real-time period in microseconds")
    ] = None
    cpus: str | None = Field(None, description="CPUs it may use, as in `0-3,5`")
    mems: str | None = Field(None, description="memory nodes it may use, likewise")


class Pids(Model):
    """The limit of processes."""

    limit: Int = Field(None, description="processes at most")


class WeightDevice(Model):
    """One block device's weight."""

    major: Int = Field(None, description="major number")
    minor: Int = Field(None, description="minor number")
    weight: Int = Field(None, description="its weight")
    leaf_weight: Annotated[Int, Field(alias="leafWeight", description="its weight against children")] = None


class ThrottleDevice(Model):
    """One block device's rate."""

    major: Int = Field(None, description="major number")
    minor: Int = Field(None, description="minor number")
    rate: Int = Field(None, description="the limit")


Throttles = tuple[ThrottleDevice, ...] | None


class BlockIO(Model):
    """Limits of block input and output."""

    weight: Int = Field(None, description="10 to 1000: its weight against others")
    leaf_weight: Annotated[Int, Field(alias="leafWeight", description="its weight against its own children")] = None
    weight_device: Annotated[
        tuple[WeightDevice, ...] | None, Field(alias="weightDevice", description="weights by device")
    ] = None
    read_bps: Annotated[
        Throttles, Field(alias="throttleReadBpsDevice", description="bytes read in a second at most, by device")
    ] = None
    write_bps: Annotated[
        Throttles, Field(alias="throttleWriteBpsDevice", description="bytes written in a second at most, by device")
    ] = None
    read_iops: Annotated[
        Throttles, Field(alias="throttleReadIOPSDevice", description="reads in a second at most, by device")
    ] = None
    write_iops: Annotated[
        Throttles, Field(alias="throttleWriteIOPSDevice", description="writes in a second at most, by device")
    ] = None


class HugepageLimit(Model):
    """The limit of one size of huge pages, in bytes."""

    page_size: Annotated[Int, Field(alias="pageSize", gt=0, multiple_of=1024, description="the pages' size")] = None
    limit: Int = Field(None, description="bytes at most")


class Priority(Model):
    """One network interface's priority."""

    name: str | None = Field(None, description="the interface's name")
    priority: Int = Field(None, description="its priority")


class Network(Model):
    """The class and priorities of network packets."""

    class_id: Annotated[Int, Field(alias="classID", description="class of its packets")] = None
    priorities: tuple[Priority, ...] | None = Field(None, description="priorities by interface")


class Resources(Model):
    """All limits of a container."""

    devices: tuple[DeviceCgroup, ...] | None = Field(None, description="which device classes it may use")
    memory: Memory | None = Field(None, description="limits of memory, in bytes")
    cpu: Cpu | None = Field(None, description="shares and limits of CPU time, in microseconds")
    pids: Pids | None = Field(None, description="the limit of processes")
    blockio: BlockIO | None = Field(None, description="weights and rates of block devices")
    hugepage_limits: Annotated[
        tuple[HugepageLimit, ...] | None, Field(alias="hugepageLimits", description="limits of huge pages, in bytes")
    ] = None
    network: Network | None = Field(None, description="class and priorities of its packets")
