"""What disks, CDs and boot loaders are made of: each file of this folder knows one structure, and no format.

Nothing here needs root, a loop device or the host's own copy of a loader: those come as packages of the image's own
suite, and what is written holds no time and no random number.
"""

from __future__ import annotations

EPOCH = 1_767_225_600  # the time that files on media have, where their format begins after 1970: 2026-01-01 UTC
SECTOR = 512
MIB = 1 << 20
