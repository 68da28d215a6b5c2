"""That what runs on a board is the image that was built: nothing else knows what was really started there."""

from __future__ import annotations

import re
from typing import Any

from harness.board.faults import OtherImageError
from harness.system.shell import Shell

DIGEST_S = 300.0  # a slow machine digests its root
# the root's own device, as the image mounts it (docs/architecture.md)
DIGEST = "dd if=/dev/loop7 bs=4096 count={blocks} 2>/dev/null | head -c {size} | sha256sum"
BLOCK = 4096


def prove(shell: Shell, manifest: dict[str, Any], machine: str) -> None:
    """Compare the digest of the running root with the built one's; OtherImageError naming both when they differ."""
    built = str(manifest["root"]["sha256"])
    size = int(manifest["root"]["size"])
    said = shell.run(DIGEST.format(size=size, blocks=-(-size // BLOCK)), DIGEST_S)
    found = re.match(r"([0-9a-f]{64}) ", said.text)
    running = found[1] if found else f"none: {said.text.strip()[:200] or 'nothing was said'}"
    if running != built:
        raise OtherImageError(
            f"{machine} runs another image than the built one",
            details=f"the root's SHA-256 there: {running}\nas it was built:         {built}",
            hint="see `deploy` in the machine's YAML: what it brought is not what the board starts",
        )
