"""What the kernel and the machine say and give: a clean log, the right time, randomness."""

import time

import pytest

from harness.suite import control, judge
from harness.suite.judge import Noise

CLOCK_S = 30  # a busy host takes its time to ask

# Messages of emulated machines that no image can avoid.
NOISE = (
    Noise(
        r"pci-host-generic 4010000000\.pcie: Memory resource size exceeds max for 32 bits",
        arch="arm64",
        why="QEMU's virt board declares a 512 GiB PCI window in its device tree; nothing uses it",
    ),
    Noise(
        r"sclp_sd: Store Data request failed",
        arch="s390x",
        why="the driver asks for a service of the support element that QEMU does not emulate",
    ),
    Noise(
        r"ap: The hardware system does not support AP instructions",
        arch="s390x",
        why="the driver is built in, and QEMU's CPU has no adjunct processors",
    ),
    Noise(
        r"^operation not supported error, dev loop\d+, .*:\(WRITE_ZEROES\)"
        r"|^blk_print_req_error: \d+ callbacks suppressed",
        why="mkfs and cryptsetup ask loop devices over a tmpfs for zeroes, and write them themselves when told no",
    ),
    Noise(
        r"^block device autoloading is deprecated",
        why="mdadm opens a new array's node to have the kernel make the array",
    ),
    Noise(
        r"^device-mapper: core: CONFIG_IMA_DISABLE_HTABLE is disabled",
        why="Debian's kernel is configured so, and says it whenever device mapper is loaded",
    ),
    Noise(
        r"^sd \d+:\d+:\d+:\d+: Power-on or device reset occurred",
        why="a SCSI disk tells everybody who logs in to it so, once",
    ),
    Noise(
        r"^tsc: |^clocksource: |^TSC found unstable|^sched_clock: Marking unstable|^APIC calibration not consistent"
        r"|^Unstable clock detected|^If you want to keep using the local clock|trace_clock=local|on the kernel command"
        r"|^\.\.MP-BIOS bug: 8254 timer not connected to IO-APIC",
        arch="x86_64",
        why="emulated timers run on the host's time: on a busy host they drift against the counted one",
    ),
)


END = "the log is read up to here"
# As the kernel keeps it: util-linux's dmesg shows a line of another facility as the kernel's own. Who reads it waits
# at its end, and only a program that reads much at once may: so `cat`, until the last line has come.
LOG = f"""
echo '<15>{END}' >/dev/kmsg || exit
cat /dev/kmsg >/run/.kmsg & pid=$!
seconds=0
until grep -q '{END}' /run/.kmsg || [ $seconds = 30 ]; do seconds=$((seconds + 1)); sleep 1; done
kill $pid
cat /run/.kmsg
rm -f /run/.kmsg
"""


def test_kernel_log_is_clean(shell, cell, machine):
    said = shell.run(LOG, timeout=60, check=True).text
    log = judge.kernel_log(said)
    if END not in said or "Linux version" not in said:
        control.not_run(f"the log's {'end' if END not in said else 'beginning'} is lost")
    # up to ready: what other cases provoke is not the image's doing
    found = judge.complaints(judge.up_to_ready(log, cell.built), NOISE, arch=machine.arch, machine=machine.name)
    assert not found, "\n".join(f"the kernel complains: {line}" for line in found)


def test_kernel_is_not_tainted(shell):
    assert shell.run("cat /proc/sys/kernel/tainted", check=True).text.strip() == "0"


def test_clock_is_right(shell):
    before = time.time()
    guest = int(shell.run("date +%s", check=True).text)
    assert before - CLOCK_S <= guest <= time.time() + CLOCK_S


def test_randomness_is_ready(shell):
    assert len(shell.run("head -c 32 /dev/random", timeout=10, check=True).stdout) == 32
    assert int(shell.run("cat /proc/sys/kernel/random/entropy_avail", check=True).text) >= 256


@pytest.mark.needs("services/rngd")
def test_hardware_randomness_works(shell):
    first, second = (shell.run("head -c 16 /dev/hwrng", check=True).stdout for _ in range(2))
    assert len(first) == len(second) == 16
    assert first != second
