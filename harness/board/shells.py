"""The shell into a system that runs on a board: over its console, or over SSH."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.system.shell import CommandResult, Shell

# out of the probe's own root, with what the probe's other channel gives a command
ENTER = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb; \
exec chroot /proc/1/root /bin/sh -c {command}"


@dataclass
class PerLife:
    """A shell that is had anew in each life of what it is had by, of which ``life`` names the one that is."""

    make: Callable[[], Shell]
    life: Callable[[], object]
    fast: bool = False
    _shell: Shell | None = field(default=None, init=False)
    _life: object = field(default=None, init=False)

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`)."""
        if self._shell is None or self._life != self.life():
            self._life, self._shell = self.life(), self.make()
        return self._shell.run(cmd, timeout, check)


@dataclass(frozen=True)
class Rooted:
    """A shell whose commands are run in the root of the first process; ``enter`` leads there."""

    shell: Shell
    enter: str = ENTER

    @property
    def fast(self) -> bool:
        """As the shell itself."""
        return self.shell.fast

    def run(self, cmd: str, timeout: float = 30, check: bool = False) -> CommandResult:
        """Run `cmd` (see `Shell.run`)."""
        return self.shell.run(self.enter.format(command=shlex.quote(cmd)), timeout, check)
