"""A board is off when its harness has ended, however that did: a shell of a few lines outlives it and sees to it.

It waits for a word on a pipe. Without that word the pipe's end says that the harness died (killed, hung up, out of
memory): only then this module is run there. It holds the board's locks, so that nobody has the board meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.board.locks import Claim
from harness.board.power import Switch
from harness.errors import HarnessError
from harness.secrets import hide
from harness.spec.models.board import variables
from harness.spec.models.machine import MachineSpec
from harness.spec.models.power import BoardPower

# no signal that ends the harness, or its terminal, or its login, ends the guard before its work is done
WAIT = "trap '' HUP INT QUIT TERM PIPE; read -r word && exit; exec \"$@\""
DONE = b"done\n"
LAST_S = 60.0  # for what is run last


@dataclass(frozen=True)
class Watch:
    """What a guard does: a board's power, the folder of its YAML, and the files that say whose the board is.

    `last` is run once it is off, if anything. `secrets` names the environment's variables whose values it writes
    nowhere.
    """

    name: str
    power: str
    base: str
    owners: list[str]
    last: list[str]
    secrets: list[str]

    def end(self) -> None:
        """Switch the board off; whoever has it next switches it off again where that fails."""
        hide(self.secrets)
        switch = Switch(BoardPower.model_validate_json(self.power), Path(self.base), self.name)
        switch.off()
        if self.last:
            proc.run(self.last, timeout=LAST_S)
        for owner in self.owners:
            Path(owner).unlink(missing_ok=True)


@contextmanager
def guarded(machine: MachineSpec, claim: Claim, log: Path, last: Sequence[str] = ()) -> Iterator[None]:
    """Have the board switched off should this process not come to the block's end, and `last` run then.

    `claim` is what this process has of it; `log` takes what goes wrong. A board that a person switches, or that is to
    stay on, has no guard.
    """
    board = machine.board
    assert board is not None
    if board.after != "off" or board.power.manual:
        yield
        return
    base, owners = str(machine.path.parent.absolute()), [str(path) for path in claim.owner_files]
    watch = Watch(machine.name, board.power.model_dump_json(), base, owners, list(last), sorted(variables(board)))
    argv = ["/bin/sh", "-c", WAIT, "harness-guard", sys.executable, "-m", __name__, json.dumps(vars(watch))]
    with log.open("wb") as stream:
        guard = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=stream, stderr=stream, start_new_session=True,
            cwd="/", pass_fds=claim.descriptors,
        )  # fmt: skip
    try:
        yield
    finally:
        guard.communicate(DONE)
        if not log.stat().st_size:
            log.unlink()


def main(text: str) -> int:
    """Do what the guard's text says. 0: the board is off; 1: it cannot be said."""
    try:
        Watch(**json.loads(text)).end()
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
