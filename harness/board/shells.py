"""The shell into a system that runs on a board: over its console, or over SSH."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.boot.shell import Result, Shell

# out of the probe's own root, with what the probe's other channel gives a command
ENTER = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb; \
exec chroot /proc/1/root /bin/sh -c {command}"


@dataclass
class PerBoot:
    """A shell that is had anew in each boot of the machine; ``boots`` counts them."""

    make: Callable[[], Shell]
    boots: Callable[[], int]
    fast: bool = False
    _shell: Shell | None = field(default=None, init=False)
    _boot: int = field(default=0, init=False)

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> Result:
        """Run `cmd` (see `Shell.run`)."""
        if self._shell is None or self._boot != self.boots():
            self._boot, self._shell = self.boots(), self.make()
        return self._shell.run(cmd, timeout, check)


@dataclass(frozen=True)
class Rooted:
    """A shell whose commands are run in the root of the first process."""

    shell: Shell

    @property
    def fast(self) -> bool:
        """As the shell itself."""
        return self.shell.fast

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> Result:
        """Run `cmd` (see `Shell.run`)."""
        return self.shell.run(ENTER.format(command=shlex.quote(cmd)), timeout, check)
