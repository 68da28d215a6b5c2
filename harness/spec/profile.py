"""What certificates are judged by: profiles of requirements, and the waivers that excuse some of them for a time."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness import paths
from harness.errors import UserError
from harness.spec.components import Checked, checked, digest_of_bytes
from harness.spec.models.base import Model, Strings
from harness.spec.models.plan import Budget
from harness.spec.rules import common as checks
from harness.spec.rules import library as checks_library
from harness.spec.rules import plan as checks_plan
from harness.spec.text.complaints import KeyPath, Problem, SpecError, nearest
from harness.spec.text.reader import Document, mapping_of, read
from harness.store import digest_of

KEY, WAIVERS_KEY = "requirements", "waivers"  # which no other kind of file has
OWN = "./"  # how a case file beside the profile begins; any other is one of the harness's
MOST_ANCESTORS = 10
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_CASE = re.compile(r"(?P<file>[\w./-]+\.py)(?:::(?P<case>test_\w+))?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

Applicability = Literal[
    "foreign", "built", "no network", "no login", "no exact time", "exact time", "no exact power-off",
    "exact power-off", "no lasting volumes",
]  # fmt: skip
Level = Literal["mandatory", "recommended"]


class ApplicabilityRule(Model):
    """When a requirement is not applicable, and why that is right."""

    when: Applicability
    why: Annotated[str, Field(min_length=1)]


class Requirement(Model):
    """What an image must show, and the cases that show it."""

    id: str
    text: Annotated[str, Field(min_length=1)]
    level: Level = "mandatory"
    cases: Strings
    architectures: Strings = ()
    not_applicable: tuple[ApplicabilityRule, ...] = ()


class ProfileSpec(Model):
    """One profile's file."""

    name: str
    path: Path
    digest: str
    description: str
    version: Annotated[int, Field(ge=1)]
    extends: str = ""
    budget: Budget = Field(default_factory=Budget)
    budgets: dict[str, Budget] = Field(default_factory=dict)
    requirements: tuple[Requirement, ...]


class Waiver(Model):
    """An excuse for a requirement that is not fulfilled."""

    requirement: str
    reason: Annotated[str, Field(min_length=1)]
    owner: Annotated[str, Field(min_length=1)]
    until: str


class Waivers(Model):
    """A file of waivers."""

    name: str
    path: Path
    digest: str
    waivers: tuple[Waiver, ...]


@dataclass(frozen=True)
class Profile:
    """A profile with all that it extends. ``files`` has its own file first; ``digest`` is over all of them."""

    name: str
    version: int
    description: str
    digest: str
    files: tuple[Path, ...]
    budgets: Mapping[str, Budget]  # by architecture or machine; "" for all
    requirements: tuple[Requirement, ...]
    written: Mapping[str, Path]  # in which of the files each requirement is, by id

    def nodes(self, one: Requirement) -> list[str]:
        """Return a requirement's cases as pytest takes them: a file's path, and ::function where there is one."""
        parts = map(parts_of, one.cases)
        return ["::".join(filter(None, (str(case_file(file, self.written[one.id])), name))) for file, name in parts]

    def limits(self, machine: str, arch: str) -> Budget:
        """Return the budget on a machine: what is said of it, else of its architecture, else of all."""
        said = [self.budgets.get(key, Budget()) for key in (machine, arch, "")]
        return Budget(
            size=next((one.size for one in said if one.size is not None), None),
            ready=next((one.ready for one in said if one.ready is not None), None),
            wall=next((one.wall for one in said if one.wall is not None), None),
            phases={name: ms for one in reversed(said) for name, ms in one.phases.items()},
        )


def profiles() -> dict[str, Path]:
    """Return the profiles that ship with the harness: their YAML files by name."""
    return {path.stem: path for path in sorted(paths.PROFILES.glob("*.yml"))}


def load_profile(path_or_name: str | Path) -> Profile:
    """Read a profile by its name or its YAML's path, with all that it extends.

    UserError when there is none or they extend each other, SpecError with every complaint.
    """
    path = _located(str(path_or_name))
    chain: list[ProfileSpec] = []
    while True:
        made, complaints = check_profile(read(path))
        if made is None:
            raise SpecError(complaints)
        if path in [one.path for one in chain] or len(chain) == MOST_ANCESTORS:
            raise UserError(f"{path}: profiles extend each other in a circle, or through more than {MOST_ANCESTORS}")
        chain.append(made)
        if not made.extends:
            return _whole(chain)
        path = _parent(path, made.extends)


def _located(text: str) -> Path:
    if checks_plan.is_path(text):
        return Path(text)
    known = profiles()
    if text not in known:
        near = nearest(text, known)
        listed = f"profiles: {', '.join(known)}; or give the path of a YAML file"
        raise UserError(f"unknown profile {text!r}", hint=f"did you mean {near}? ({listed})" if near else listed)
    return known[text]


def _parent(path: Path, extends: str) -> Path:
    return path.parent / extends if checks_plan.is_path(extends) else _located(extends)


def _whole(chain: Sequence[ProfileSpec]) -> Profile:
    budgets: dict[str, Budget] = {}
    written: dict[str, Path] = {}
    for one in reversed(chain):
        for key, budget in ({"": one.budget} | one.budgets).items():
            budgets[key] = _over(budgets.get(key, Budget()), budget)
        for requirement in one.requirements:
            if requirement.id in written:
                raise UserError(
                    f"{one.path}: the requirement {requirement.id!r} is one of a profile that it extends",
                    hint="another id: what a profile extends stays as it is",
                )
            written[requirement.id] = one.path
    first = chain[0]
    return Profile(
        name=first.name,
        version=first.version,
        description=first.description,
        digest=digest_of([one.digest for one in chain]),
        files=tuple(one.path for one in chain),
        budgets=budgets,
        requirements=tuple(requirement for one in reversed(chain) for requirement in one.requirements),
        written=written,
    )


def _over(below: Budget, above: Budget) -> Budget:
    given = above.model_dump(exclude_none=True, exclude={"phases"})
    return below.model_copy(update={**given, "phases": below.phases | above.phases})


def check_profile(document: Document) -> Checked[ProfileSpec]:
    """Return a document's profile and every complaint about it; what it extends is not looked at."""
    path = document.file
    given = {"name": path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(ProfileSpec, document, given, _judged(mapping_of(document), path))
    return (None if complaints else made), complaints


def case_file(name: str, yaml: Path) -> Path:
    """Return the file of a requirement's case."""
    return yaml.parent / name.removeprefix(OWN) if name.startswith(OWN) else paths.CASES / name


def parts_of(case: str) -> tuple[str, str]:
    """Return the file and the function of a requirement's case; no function stands for all of the file."""
    file, _, function = case.partition("::")
    return file, function


def _judged(data: Mapping[str, Any], yaml: Path) -> Iterator[Problem]:
    ids: set[str] = set()
    for index, row in checks.mappings(data, KEY):
        at: KeyPath = (KEY, index)
        name = row.get("id")
        if isinstance(name, str):
            if not _ID.fullmatch(name):
                yield Problem((*at, "id"), f"{name!r} is no id", "up to 40 of a-z 0-9 -")
            if name in ids:
                yield Problem((*at, "id"), f"{name!r} is here twice", "each id once")
            ids.add(name)
        if row.get("cases") == ():
            yield Problem((*at, "cases"), "is empty", "what shows it: file.py::test_name")
        for place, case in checks.texts(row, "cases"):
            yield from _case(case, (*at, "cases", place), yaml)
        for place, arch in checks.texts(row, "architectures"):
            yield from checks.problem((*at, "architectures", place), checks_library.architecture(arch))


def _case(text: str, at: KeyPath, yaml: Path) -> Iterator[Problem]:
    match = _CASE.fullmatch(text)
    if match is None or ".." in text.split("/"):
        yield Problem(at, f"{text!r} is no case", "file.py::test_name of the harness, or ./file.py::test_name")
        return
    path = case_file(match["file"], yaml)
    if not path.is_file():
        where = "beside the profile" if match["file"].startswith(OWN) else "among the harness's cases"
        yield Problem(at, f"there is no {match['file']!r} {where}")
    elif match["case"] and match["case"] not in (known := functions(path)):
        near = nearest(match["case"], known)
        expected = "" if near else "one of its functions"
        yield Problem(at, f"{match['file']} has no {match['case']}", expected, near and f"{match['file']}::{near}")


@cache
def functions(path: Path) -> tuple[str, ...]:
    """Return the names of a case file's functions; none when it is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def load_waivers(path: Path, known: Collection[str] | None = None) -> Waivers:
    """Read a file of waivers; `known` are the requirements that there are. SpecError with every complaint."""
    made, complaints = check_waivers(read(Path(path)), known)
    if made is None:
        raise SpecError(complaints)
    return made


def check_waivers(document: Document, known: Collection[str] | None = None) -> Checked[Waivers]:
    """Return a document's waivers and every complaint about them."""
    path = document.file
    given = {"name": path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(Waivers, document, given, _waived(mapping_of(document), known))
    return (None if complaints else made), complaints


def _waived(data: Mapping[str, Any], known: Collection[str] | None) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, row in checks.mappings(data, WAIVERS_KEY):
        at: KeyPath = (WAIVERS_KEY, index)
        until, name = row.get("until"), row.get("requirement")
        if isinstance(until, str) and not is_date(until):
            yield Problem((*at, "until"), f"{until!r} is no date", "the last day on which it counts, as 2027-03-31")
        if not isinstance(name, str):
            continue
        if known is not None and name not in known:
            near = nearest(name, known)
            expected = "" if near else f"one of: {', '.join(known)}"
            yield Problem((*at, "requirement"), f"the profile has no requirement {name!r}", expected, near)
        if name in seen:
            yield Problem((*at, "requirement"), f"{name!r} is waived twice", "each requirement once")
        seen.add(name)


def is_date(text: str) -> bool:
    """Say whether a text is a day of the calendar, YYYY-MM-DD."""
    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text) is not None
    except ValueError:
        return False
