"""How long to be patient with what is far away, and trying again what may pass by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import HarnessError, HostError


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
