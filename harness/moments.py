"""A moment as a person gives it: a span from now, the next time that a clock shows an hour, or a date and time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.errors import UserError

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"(\d{1,5})([mhd])")
_HOUR = re.compile(r"(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Moment:
    """A moment of the wall clock (``at``, local, without a zone); ``seconds`` from now where a span was given."""

    at: datetime
    seconds: float | None = None


def moment(text: str, now: datetime, what: str) -> Moment:
    """Return what `text` means: ``8h``, ``06:30`` (the next), or a date and time.

    UserError, which calls it `what` ("deadline"), when it is none, or has passed.
    """
    if span := _SPAN.fullmatch(text):
        length = timedelta(**{UNITS[span[2]]: int(span[1])})
        return Moment(now + length, length.total_seconds())
    try:
        if hour := _HOUR.fullmatch(text):
            at = now.replace(hour=int(hour[1]), minute=int(hour[2]), second=0, microsecond=0)
            return Moment(at if at > now else at + timedelta(days=1))
        at = datetime.fromisoformat(text)
    except ValueError:
        hint = "a span (90m, 8h, 2d), an hour (06:30), or a date and time (2026-12-01T06:30)"
        raise UserError(f"{text!r} is not a {what}", hint=hint) from None
    at = at if at.tzinfo is None else at.astimezone().replace(tzinfo=None)
    if at <= now:
        raise UserError(f"the {what} {text} has passed")
    return Moment(at)
