"""What a plan says: images x machines x cases, with budgets and what is known to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Limit, LoosePath, Model, Strings
from harness.spec.models.forms import Day, MailAddress, MailServer, VariableName


class Budget(Model):
    """Limits that a plan sets; None leaves the harness's own default."""

    size: Limit | None = Field(None, description="MB (10^6 bytes) of all that is shipped to boot")
    ready: Limit | None = Field(
        None,
        description="exact milliseconds from the kernel's clock zero to ready; `firmware`, which comes before, then "
        "takes a second at most, five with a UEFI, unless `phases` says more",
    )
    phases: dict[str, Limit] = Field(
        default_factory=dict,
        description="exact milliseconds by phase, such as `kernel`, `onboot/dhcp`, `total` or `services/web`",
    )
    wall: Limit | None = Field(
        None,
        description="seconds by the host's clock from power-on to ready, of the median of several boots; for "
        "certificates",
    )


class PlanImage(Model):
    """An image of a plan, with the machines it boots on (all of the plan's when empty) and its budgets."""

    path: LoosePath = Field(
        description="the image, as every command takes it, relative to the plan: a YAML, `A.yml+B.yml`, a built "
        "folder, the folder that a boot has left, or a shipped image's name"
    )
    machines: Strings = Field((), description="machines it boots on; all of the plan's when empty")
    formats: Strings = Field((), description="formats it is built and booted in; the plan's when empty")
    budget: Budget = Field(default_factory=Budget, description="limits for this image")
    budgets: dict[str, Budget] = Field(
        default_factory=dict, description="limits by machine or architecture, over `budget`"
    )


class KnownFailure(Model):
    """A failure that is known, and does not count until its day has passed. Patterns are globs."""

    case: str = Field(description="which cases: `test_FUNCTION` or `FILE.py::test_FUNCTION`, with `*` and `?`")
    image: str = Field("*", description="on which images, by name, with `*` and `?`")
    machine: str = Field("*", description="on which machines, likewise")
    issue: str = Field(description="where it is dealt with: a link")
    until: Day = Field(description="the last day on which it does not count, `YYYY-MM-DD`; from the next on it does")


class Email(Model):
    """Mail about how a run ended."""

    to: tuple[MailAddress, ...] = Field(description="who gets it")
    from_: Annotated[MailAddress, Field(alias="from", description="who it is from")]
    server: MailServer = Field(
        description="the mail server: `HOST` or `HOST:PORT`, an IPv6 address in brackets; without a port the one that "
        "is usual for `security`"
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is kept private: `starttls`, `tls` or `none`"
    )
    user_env: VariableName = Field(
        "", description="the environment's variable that holds the server's user, where it wants one"
    )
    password_env: VariableName = Field("", description="likewise the password")


class Notify(Model):
    """Who is told how a run ended. Secrets come from the environment."""

    webhook_env: VariableName = Field(
        "", description="the environment's variable that holds a URL; JSON is posted there, with the summary as `text`"
    )
    email: Email | None = Field(None, description="mail with the summary")


class DiskLimits(Model):
    """How much a night may leave behind; None: no limit."""

    results: Limit | None = Field(
        None, description="MB (10^6 bytes) that all runs in `results/` may take: after the run the oldest go"
    )
    cache: Limit | None = Field(
        None, description="MB that the cache may take: after the run what was longest unused goes"
    )


class Plan(Model):
    """Images x machines x cases."""

    given = ("name", "path")

    name: str
    path: Path
    images: tuple[PlanImage, ...] = Field(description="the images")
    machines: Strings = Field(description="machines by name, or paths of machine files relative to the plan")
    formats: Strings = Field(
        (),
        description="formats that the images are built and booted in, each a cell of its own; `kernel+initrd` when "
        "empty. An architecture that has not one of them has no such cell. `NAME+verity` has a verified root",
    )
    cases: tuple[LoosePath, ...] = Field(
        (),
        description="case files or folders, relative to the plan, and `@harness` for those that come with the "
        "harness; these alone when empty",
    )
    budget: Budget = Field(default_factory=Budget, description="limits for every image")
    known: tuple[KnownFailure, ...] = Field((), description="failures that are known and do not count yet")
    notify: Notify = Field(
        default_factory=Notify, description="who is told how a run ended, and what has changed since the one before"
    )
    disk: DiskLimits = Field(default_factory=DiskLimits, description="how much runs may leave behind on the disk")
    calibrate: Limit | None = Field(
        None,
        description="minutes after the run in which floors may be measured that nobody has measured yet; None: none",
    )
    outdated: bool = Field(
        False, description="ask mirrors and registries after the run, and note what of the images is newer there"
    )
