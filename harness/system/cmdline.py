"""The kernel's whole command line: the image's own words, the machine's, and those of one boot."""

from __future__ import annotations

from collections.abc import Sequence

from harness.arch import ARCHES
from harness.errors import UserError
from harness.spec.models.machine import MachineSpec
from harness.spec.rules.characters import kernel_line
from harness.system.record import Mode

PROBE_INIT = "/probe/init"
EXACT_CMDLINE = ("nokaslr",)


def cmdline(image: str, machine: MachineSpec, append: Sequence[str], *, mode: Mode, probe: bool) -> str:
    """Return the whole kernel command line: the image's own, console, the machine's, the boot's.

    UserError when it is longer than the architecture's kernel takes.
    """
    words = [image, f"console={machine.console}", machine.cmdline]
    words += [*EXACT_CMDLINE, machine.qemu.exact_cmdline if machine.qemu else ""] if mode == "exact" else []
    words += [f"rdinit={PROBE_INIT}"] if probe else []
    line = " ".join(filter(None, [*words, *append]))
    fault = kernel_line(line, [ARCHES[machine.arch]])
    if fault is not None:
        raise UserError(f"{machine.name}: {fault.what}, with what the machine and the boot add", hint=fault.expected)
    return line
