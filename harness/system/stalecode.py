"""The emulator's own faults that look like the guest's: what a kernel's words show of them.

QEMU before 8.0 forgets of what it has translated only what is at the first byte where an instruction writes many (its
probe_access_flags had no size; commits d507e6c565 and 1770b2f2d3 gave it one). A kernel of s390x copies modules by such
instructions (MVC), to where others lay whose start is over and whose memory was given back: what runs then is code of a
module that is gone, and ends in an oops within a module. Seen in two of three boots that loaded some thirty modules.
"""

from __future__ import annotations

import re

from harness.system.record import BootRecord

FIXED_IN = 8  # QEMU's version
HINT = "boot it again, with fewer modules, or take QEMU 8.0 or later"
_CHECK = re.compile(r"\b[0-9a-f]{4} ilc:\d \[#1\]")  # a program check's line
_IN_MODULE = re.compile(
    r"Krnl PSW : [0-9a-f]{16} [0-9a-f]{16} \(\w[\w.]{0,255}\+0x[0-9a-f]+/0x[0-9a-f]+ \[\w{1,64}\]\)"
)


def suspected(record: BootRecord, failure: str, after: str) -> str | None:
    """Return what QEMU may have done where a kernel's failure is of the kind that it makes itself, else None.

    `failure` is the kernel's first bad line, `after` what came with it.
    """
    if (record.arch, record.accel) != ("s390x", "tcg") or not _is_old(record.qemu_version):
        return None
    if not _CHECK.search(failure) or not _IN_MODULE.search(after):
        return None
    return f"QEMU {record.qemu_version} may have run code of a module that is gone"


def _is_old(version: str) -> bool:
    major = re.match(r"\d{1,9}(?=\.)", version)
    return major is not None and int(major[0]) < FIXED_IN
