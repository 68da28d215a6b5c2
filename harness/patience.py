"""How long to be patient with what is far away, and trying again what may pass by itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import HarnessError, HostError

HISTORY_S = 150.0  # that a night waits for its history in all: longer than two writers wait for each other
WORD_S = 10.0  # until somebody who looks on is told what is waited for
Found = TypeVar("Found")


@dataclass(frozen=True)
class Patience:
    """How often a network failure is tried again; all in seconds but ``attempts``."""

    attempts: int = 4
    wait: float = 1.0  # before the second attempt; doubles from there
    longest: float = 15.0
    timeout: float = 20.0  # of silence on a connection


class NetworkError(HostError):
    """Something far away failed. ``passing``: trying again may help; ``after``: the seconds it asked to wait."""

    def __init__(
        self, message: str, *, hint: str = "", details: str = "", passing: bool = False, after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, details=details)
        self.passing, self.after = passing, after


def retrying(patience: Patience, action: Callable[[], object], progress: Callable[[str], None]) -> None:
    """Do `action`; again, after growing pauses, when it failed in a way that may pass."""
    from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    growing = wait_exponential(multiplier=patience.wait, max=patience.longest)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.after if isinstance(error, NetworkError) else None
        return growing(state) if asked is None else asked

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        progress(f"{error.message if isinstance(error, HarnessError) else error}; trying again")

    policy = Retrying(
        stop=stop_after_attempt(patience.attempts),
        wait=pause,
        retry=retry_if_exception(lambda error: isinstance(error, NetworkError) and error.passing),
        before_sleep=tell,
        reraise=True,
    )
    policy(action)


def within(seconds: float, what: str, action: Callable[[], Found]) -> Found:
    """Return what `action` returns; HostError, naming `what` it asks, once that has taken `seconds`.

    For servers whose limits of time a silent or a slow one gets around. It goes on in a thread of its own then, which
    ends with this process.
    """
    found: list[Found] = []
    failed: list[BaseException] = []

    def act() -> None:
        try:
            found.append(action())
        except BaseException as error:  # noqa: BLE001 -- it is raised where it was asked for
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True, name=what)
    thread.start()
    thread.join(min(WORD_S, seconds))
    if thread.is_alive() and seconds > WORD_S:
        print(f"waiting for {what}", file=sys.stderr, flush=True)
        thread.join(seconds - WORD_S)
    if failed:
        raise failed[0]
    if not found:
        raise HostError(f"{what} has not answered within {seconds:g} s")
    return found[0]
