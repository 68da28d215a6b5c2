"""`harness profile`: the profiles that certificates are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.errors import EXIT_OK, UserError
from harness.spec.profile import Profile, load_profile, profiles


def profile(action: str, name: str | None, *, as_json: bool) -> int:
    """List the profiles that ship with the harness, or show one. Returns 0."""
    if action == "list" and name is None:
        made = [load_profile(one) for one in profiles()]
        text = [f"{one.name:10} {one.version}  {len(one.requirements):2}  {one.description}" for one in made]
        data: object = [_plain(one) for one in made]
    elif action == "show" and name is not None:
        found = load_profile(name)
        text, data = list(_lines(found)), _plain(found)
    else:
        raise UserError(f"harness profile {action} takes {'no name' if name else 'a name'}",
                        hint="harness profile list, or harness profile show NAME")  # fmt: skip
    print(json.dumps(data, indent=1) if as_json else "\n".join(text))
    return EXIT_OK


def _plain(one: Profile) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version,
        "digest": one.digest,
        "description": one.description,
        "budgets": {key or "all": budget.model_dump() for key, budget in one.budgets.items()},
        "requirements": [requirement.model_dump(mode="json") for requirement in one.requirements],
    }


def _lines(one: Profile) -> Iterator[str]:
    yield f"{one.name} {one.version}: {one.description}"
    yield f"digest {one.digest}"
    for key, budget in one.budgets.items():
        said = ", ".join(f"{name} {value:g}" for name, value in budget.model_dump().items() if value)
        yield f"budget of {key or 'all'}: {said or 'none'}"
    for row in one.requirements:
        yield ""
        yield f"{row.id} ({row.level}{', ' + ' '.join(row.architectures) if row.architectures else ''})"
        yield f"  {row.text}"
        yield from (f"  shown by {case}" for case in row.cases)
        yield from (f"  not applicable where {rule.when}: {rule.why}" for rule in row.not_applicable)
