"""An oops that old QEMUs make themselves is not the image's: recorded from a boot of s390x under QEMU 7.2."""

from dataclasses import replace

import pytest

from harness.errors import ImageError, MachineError
from harness.system import stalecode
from harness.system.record import BootRecord

from .conftest import Toy

FIRST = "illegal operation: 0001 ilc:1 [#1] SMP"
REST = """\
[   29.184278] Modules linked in: llc(+) mrp dummy virtio_rng virtio_net net_failover failover squashfs loop
[   29.185394] CPU: 0 PID: 95 Comm: modprobe Not tainted 6.1.0-50-s390x #1  Debian 6.1.176-1
[   29.185936] Krnl PSW : 0704c00180000000 000003ff7fd7b100 (llc_init+0x100/0x1000 [llc])
"""
RECORD = BootRecord(image="i", arch="s390x", machine="m", mode="wall", probed=False, accel="tcg", accel_reason="",
                    argv=(), cmdline="", cpu="max", machine_type="", qemu_version="7.2.22")  # fmt: skip


def test_old_qemus_may_have_run_what_is_gone() -> None:
    assert stalecode.suspected(RECORD, FIRST, REST) == "QEMU 7.2.22 may have run code of a module that is gone"


@pytest.mark.parametrize(
    ("record", "first", "rest"),
    [
        (replace(RECORD, qemu_version="8.0.0"), FIRST, REST),
        (replace(RECORD, qemu_version="10.1.2"), FIRST, REST),
        (replace(RECORD, qemu_version=""), FIRST, REST),
        (replace(RECORD, accel="kvm"), FIRST, REST),
        (replace(RECORD, arch="x86_64"), FIRST, REST),
        (RECORD, FIRST, REST.replace(" [llc]", "")),  # in the kernel's own code, which never goes
        (RECORD, FIRST, "Modules linked in: llc(+)"),
        (RECORD, "Kernel panic - not syncing: VFS", REST),
    ],
)
def test_all_else_is_the_images(record: BootRecord, first: str, rest: str) -> None:
    assert stalecode.suspected(record, first, rest) is None


@pytest.mark.parametrize(("version", "kind"), [("7.2.22", MachineError), ("8.2.2", ImageError)])
def test_whose_fault_it_is_follows(toy: Toy, version: str, kind: type[Exception]) -> None:
    lines = [f"<1>{FIRST}", *(f"<1>{line.partition('] ')[2]}" for line in REST.splitlines())]
    says = "".join(f"echo '{line}' >/dev/kmsg\n" for line in lines)
    with toy(f"{says}while :; do $b sleep 1; done\n") as system:
        system.blank = replace(system.blank, arch="s390x", qemu_version=version)
        with pytest.raises(kind, match=r"the kernel hit an oops .*illegal operation") as caught:
            system.wait_ready()
    assert ("may have run code of a module that is gone" in str(caught.value)) is (kind is MachineError)
