"""Profiles of requirements that certificates are judged by, and the waivers that excuse some of them for a time."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.spec.models.base import Model
from harness.spec.models.forms import ArchName, Day, RequirementCase, RequirementName
from harness.spec.models.plan import Budget

Applicability = Literal[
    "foreign", "built", "no network", "no login", "no exact time", "exact time", "no exact power-off",
    "exact power-off", "no lasting volumes",
]  # fmt: skip
Level = Literal["mandatory", "recommended"]


class ApplicabilityRule(Model):
    """When a requirement is not applicable, and why that is right."""

    when: Applicability = Field(description="what must be so of the image or the machine")
    why: Annotated[str, Field(min_length=1, description="why that is not a fault, as the certificate says it")]


class Requirement(Model):
    """What an image must show, and the cases that show it."""

    id: RequirementName = Field(description="its name: up to 40 of `a-z 0-9 -`, in no profile that is extended")
    text: Annotated[str, Field(min_length=1, description="what it asks for, as the certificate says it")]
    level: Level = Field("mandatory", description="whether a certificate is refused without it, or has a warning")
    cases: tuple[RequirementCase, ...] = Field(
        description="what shows it: `file.py::test_name` or `file.py` of the harness's cases; `./file.py…` "
        "lies beside the profile"
    )
    architectures: tuple[ArchName, ...] = Field((), description="where it is asked for; everywhere when empty")
    not_applicable: tuple[ApplicabilityRule, ...] = Field(
        (), description="when it cannot be asked for, and why; what no rule excuses has to be run"
    )


class ProfileSpec(Model):
    """One profile's file."""

    given = ("name", "path", "digest")

    name: str
    path: Path
    digest: str
    description: str = Field(description="one line that says what it asks for")
    version: Annotated[int, Field(ge=1, description="counts up whenever what it asks for changes")]
    extends: str = Field(
        "", description="a profile whose requirements are these, too: one of the harness's by name, or a path from here"
    )
    budget: Budget = Field(default_factory=Budget, description="limits on every machine")
    budgets: dict[str, Budget] = Field(
        default_factory=dict, description="limits by machine or architecture, over `budget`"
    )
    requirements: tuple[Requirement, ...] = Field(description="what an image must show")


class Waiver(Model):
    """An excuse for a requirement that is not fulfilled."""

    requirement: str = Field(description="the id of the requirement")
    reason: Annotated[str, Field(min_length=1, description="why it is not fulfilled")]
    owner: Annotated[str, Field(min_length=1, description="who answers for that")]
    until: Day = Field(description="the last day on which the excuse counts, `YYYY-MM-DD` by UTC")


class Waivers(Model):
    """A file of waivers."""

    given = ("name", "path", "digest")

    name: str
    path: Path
    digest: str
    waivers: tuple[Waiver, ...] = Field(description="the excuses, one a requirement")
