"""Logging in on the console, as a person would: prompt, user, password, the shell's prompt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pexpect

from harness.errors import ImageError
from harness.spec.models.base import Login
from harness.system.console import Console, literal

TIMEOUT_S = 60.0  # for each of its steps: a machine under emulation is slow
NUDGE_S = 15.0  # the kernel may have written over a prompt: the return key brings another
TICK_S = 0.5


def log_in(console: Console, login: Login, check_machine: Callable[[], None], multiplier: float = 1.0) -> None:
    """Log in; ImageError that says at which step it got no further.

    ``check_machine`` is called while waiting and raises when waiting is vain.
    """
    prompt, password, shell = (literal(words) for words in (login.prompt, login.password_prompt, login.shell))

    def until(*wanted: re.Pattern[bytes], nudge: bool = False) -> int | None:
        end = time.monotonic() + TIMEOUT_S * multiplier
        nudged = time.monotonic()
        while time.monotonic() < end:
            check_machine()
            try:
                return int(console.expect_list(list(wanted), timeout=TICK_S))
            except pexpect.TIMEOUT:
                if nudge and time.monotonic() - nudged > NUDGE_S:
                    nudged = time.monotonic()
                    console.sendline()
            except pexpect.EOF:
                check_machine()
                break
        return None

    if until(prompt, nudge=True) is None:
        raise ImageError(f"no login: its prompt {login.prompt!r} did not show", hint="see `login` in the OS's YAML")
    console.sendline(login.user)
    if login.password is not None:
        seen = until(password, prompt, shell)
        if seen == 0:
            console.sendline(login.password)
        elif seen != 2:
            raise ImageError(
                f"no login: {login.user} was not asked for the password with {login.password_prompt!r}",
                hint="see `login` in the OS's YAML",
            )
        if seen == 2:
            return
    answer = until(shell, prompt, password)
    if answer != 0:
        why = "was refused" if answer is not None else f"came to no shell with the prompt {login.shell!r}"
        raise ImageError(f"no login: {login.user} {why}", hint="see `login` in the OS's YAML")
