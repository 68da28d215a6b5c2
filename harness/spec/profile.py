"""Profiles that certificates are judged by, with all that they extend, and waivers: read, judged and made objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.errors import UserError
from harness.spec.components import Checked, checked, digest_of_bytes
from harness.spec.kinds import refuse_other_kinds
from harness.spec.models.plan import Budget
from harness.spec.models.profile import ProfileSpec, Requirement, Waivers
from harness.spec.rules import plan as checks_plan
from harness.spec.rules import profile as checks_profile
from harness.spec.rules.profile import case_file, parts_of
from harness.spec.text.complaints import SpecError, nearest
from harness.spec.text.reader import Document, mapping_of, read
from harness.store import digest_of

MOST_ANCESTORS = 10
LONGEST_WAIVER = 366  # days from a certificate to the end of a waiver that it rests on


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
        document = read(path)
        refuse_other_kinds(document, "profile")
        made, complaints = check_profile(document)
        if made is None:
            raise SpecError(complaints)
        if path in [one.path for one in chain] or len(chain) == MOST_ANCESTORS:
            raise UserError(f"{path}: profiles extend each other in a circle, or through more than {MOST_ANCESTORS}")
        chain.append(made)
        if not made.extends:
            return whole(chain)
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


def whole(chain: Sequence[ProfileSpec]) -> Profile:
    """Return a profile, given with all that it extends, its own file first; UserError when they contradict."""
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
    _distinct(chain)
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


def _distinct(chain: Sequence[ProfileSpec]) -> None:
    """Raise UserError where two case files have one name: what a case found is known by its file's name."""
    places: dict[str, str] = {}
    for one in chain:
        for file, _ in (parts_of(case) for requirement in one.requirements for case in requirement.cases):
            place = str(one.path.parent / file) if file.startswith(checks_profile.OWN) else file
            if places.setdefault(Path(file).name, place) != place:
                raise UserError(
                    f"{one.path}: two case files are called {Path(file).name}", hint="give each a name of its own"
                )


def _over(below: Budget, above: Budget) -> Budget:
    given = above.model_dump(exclude_none=True, exclude={"phases"})
    return below.model_copy(update={**given, "phases": below.phases | above.phases})


def check_profile(document: Document, *, name: str = "", with_cases: bool = True) -> Checked[ProfileSpec]:
    """Return a document's profile and every complaint about it; what it extends is not looked at.

    ``name`` is the file's unless said. Without `with_cases` no case file is looked for, as in a stranger's profile.
    """
    path = document.file
    given = {"name": name or path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    judged = checks_profile.profile(mapping_of(document), path if with_cases else None)
    made, complaints = checked(ProfileSpec, document, given, judged)
    return (None if complaints else made), complaints


def load_waivers(path: Path, known: Collection[str] | None = None) -> Waivers:
    """Read a file of waivers; `known` are the requirements that there are. SpecError with every complaint."""
    document = read(Path(path))
    refuse_other_kinds(document, "waivers")
    made, complaints = check_waivers(document, known)
    if made is None:
        raise SpecError(complaints)
    return made


def check_waivers(document: Document, known: Collection[str] | None = None) -> Checked[Waivers]:
    """Return a document's waivers and every complaint about them."""
    path = document.file
    given = {"name": path.stem, "path": path, "digest": digest_of_bytes(document.content)}
    made, complaints = checked(Waivers, document, given, checks_profile.waivers(mapping_of(document), known))
    return (None if complaints else made), complaints
