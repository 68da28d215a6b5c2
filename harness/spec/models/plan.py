"""What a plan says: images x machines x cases, with budgets and what is known to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Limit, LoosePath, Model, Strings


class Budget(Model):
    """Limits that a plan sets; None leaves the harness's own default."""

    size: Limit | None = None  # MB (10^6 bytes)
    ready: Limit | None = None  # exact milliseconds from the kernel's clock zero to ready
    phases: dict[str, Limit] = Field(default_factory=dict)  # exact milliseconds by figure
    wall: Limit | None = None  # seconds by the host's clock from power-on to ready, the median of several boots


class PlanImage(Model):
    """An image of a plan, with the machines it boots on (all of the plan's when empty) and its budgets."""

    path: LoosePath
    machines: Strings = ()
    budget: Budget = Field(default_factory=Budget)
    budgets: dict[str, Budget] = Field(default_factory=dict)  # by machine or architecture name, over `budget`


class KnownFailure(Model):
    """A failure that is known, and does not count until its day has passed. Patterns are globs."""

    case: str  # a test function, or FILE.py::FUNCTION
    image: str = "*"
    machine: str = "*"
    issue: str  # where it is dealt with
    until: str  # the last day on which it does not count, YYYY-MM-DD


class Email(Model):
    """Mail about how a run ended."""

    to: Strings
    from_: Annotated[str, Field(alias="from")]
    server: str  # HOST or HOST:PORT
    security: Literal["starttls", "tls", "none"] = "starttls"
    user_env: str = ""
    password_env: str = ""


class Notify(Model):
    """Who is told how a run ended. Secrets come from the environment."""

    webhook_env: str = ""  # the variable that holds the URL
    email: Email | None = None


class DiskLimits(Model):
    """How much a night may leave behind; None: no limit."""

    results: Limit | None = None  # MB (10^6 bytes) of all runs
    cache: Limit | None = None  # MB likewise


class Plan(Model):
    """Images x machines x cases."""

    name: str
    path: Path
    images: tuple[PlanImage, ...]
    machines: Strings
    cases: tuple[LoosePath, ...] = ()
    budget: Budget = Field(default_factory=Budget)
    known: tuple[KnownFailure, ...] = ()
    notify: Notify = Field(default_factory=Notify)
    disk: DiskLimits = Field(default_factory=DiskLimits)
