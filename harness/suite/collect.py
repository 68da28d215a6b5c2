"""Which cases run on which cells, in which order, and which of them share a guest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.arch import by_name
from harness.image import end_of
from harness.run.cells import Cell

OWN_BOOT = frozenset({"boot", "variant"})
SHARED_BOOT = frozenset({"system", "shell"})
BOOTED = OWN_BOOT | SHARED_BOOT | {"exact"}
OF_OUR_IMAGES = frozenset({"image", "expect", "variant"})


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell a case runs on, None for one that has none."""
    spec = getattr(item, "callspec", None)
    cell = spec.params.get("cell") if spec else None
    return cell if isinstance(cell, Cell) else None


def has_no_cell_to_run_on(item: pytest.Item) -> bool:
    """Say whether a case wants a cell and got none, for none can be run on this host."""
    spec = getattr(item, "callspec", None)
    return spec is not None and "cell" in spec.params and cell_of(item) is None


def is_idle(item: pytest.Item) -> bool:
    """Say whether a case is not run at all: nothing could be run, or its cell's images are not what it is about."""
    cell = cell_of(item)
    if cell is None:
        return has_no_cell_to_run_on(item)
    return (_is_of_ends(item) and not _ends(cell)) or (any(item.iter_markers("medium")) and not _is_medium(cell))


def _is_of_ends(item: pytest.Item) -> bool:
    return any(item.iter_markers("end"))


def _is_medium(cell: Cell) -> bool:
    """Say whether an image of ours boots as it is shipped, and nothing is put beside it."""
    return cell.spec.qemu is not None and not cell.built.foreign and cell.built.parts.probe is None


def _ends(cell: Cell) -> bool:
    return end_of(cell.built).end == "off"


def uses(item: pytest.Item) -> frozenset[str]:
    """Return the fixtures a case asks for, directly or through others."""
    return frozenset(getattr(item, "fixturenames", ()))


def why_not(item: pytest.Item, cell: Cell) -> str:
    """Return why a case makes no sense on a cell; empty when it does."""
    arches = {name for mark in item.iter_markers("arch") for name in mark.args}
    if arches and cell.arch not in arches:
        return f"only on {', '.join(sorted(arches))}"
    if why := _why_not_machine(item, cell) or _why_not_foreign(item, cell) or _why_no_way_in(item, cell):
        return why
    if _ends(cell) and not _is_of_ends(item) and uses(item) & BOOTED:
        return "the image switches itself off when its work is done: it never comes to ready"
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            section, _, name = str(need).partition("/")
            present = cell.built.expect.get(section, {})
            if not present or (name and name not in present):
                return f"the image has no {need}"
    return ""


def _why_not_machine(item: pytest.Item, cell: Cell) -> str:
    """Return what of a case the machine of a cell cannot do; empty when it can all."""
    if "exact" in uses(item) and not cell.spec.counts:
        return f"no exact time: {cell.spec.why_not_exact}"
    if any(item.iter_markers("network")) and not cell.spec.network:
        return f"{cell.machine} has no network card that this host reaches"
    return ""


def _why_not_foreign(item: pytest.Item, cell: Cell) -> str:
    """Return why a case makes no sense on an OS that the harness has not built; empty when it does."""
    if cell.built.manifest:
        return ""
    if uses(item) & OF_OUR_IMAGES:
        return "the harness has not built this OS: nothing is known of what it should have"
    if uses(item) & SHARED_BOOT and cell.built.login is None:
        return "this OS has no login: its YAML's `login` gives cases their shell"
    return ""


def _why_no_way_in(item: pytest.Item, cell: Cell) -> str:
    """Return what of a case an image in another format than kernel and initrd does not let be done; empty if nothing.

    Nothing is put into it that is not shipped: it has no probe, and a case's own variants are built without a medium.
    """
    parts = cell.built.parts
    if "exact" in uses(item) and parts.has_medium:
        return "no exact time: a disk or CD answers when the host gets to it"
    if not _is_medium(cell):
        return ""
    if "shell" in uses(item):
        return "no way in: this format boots as it is shipped, without the shell that cases bring"
    return "a variant is built as kernel and initrd, which other cells boot" if "variant" in uses(item) else ""


def is_torn(item: pytest.Item) -> bool:
    """Say whether a case wants the shared system and boots of its own, which end each other."""
    return bool(uses(item) & OWN_BOOT and uses(item) & SHARED_BOOT)


def group_of(item: pytest.Item, cell: Cell) -> str:
    """Return the name of the group a case is scheduled with: who shares a guest shares a group."""
    used = uses(item)
    if "exact" in used:
        return f"{cell.id}:exact"
    if used & OWN_BOOT:
        return f"{cell.id}:{getattr(item, 'originalname', item.name)}"
    return cell.id


def boots(item: pytest.Item) -> float:
    """Return how many plain boots a case's own guests cost; what it shares counts once, in `cost`."""
    return 1.0 if disturbs(item) or uses(item) & OWN_BOOT else 0.0


def disturbs(item: pytest.Item) -> bool:
    """Say whether a case leaves the system other than it found it."""
    return any(item.iter_markers("disturbs"))


def cost(group: str, items: Sequence[pytest.Item], cell: Cell) -> float:
    """Return about how long a group takes, in boots of a 10 MB image: the longest are begun first."""
    own = sum(map(boots, items))
    if group.endswith(":exact"):
        own += 2 * by_name(cell.arch).exact_cost
    elif any(uses(item) & SHARED_BOOT for item in items):
        own += 1
    return (own + 0.05 * len(items)) * (cell.built.size / 10e6)


def arrange(items: list[pytest.Item]) -> None:
    """Skip what makes no sense, name the groups, and sort: longest group first, disturbing cases last in theirs."""
    groups: dict[str, list[pytest.Item]] = {}
    cells: dict[str, Cell] = {}
    rest = []
    for item in items:
        cell = cell_of(item)
        if cell is None:
            rest.append(item)
            continue
        if reason := why_not(item, cell):
            item.add_marker(pytest.mark.skip(reason=reason))
        group = group_of(item, cell)
        groups.setdefault(group, []).append(item)
        cells[group] = cell
    awake = {group: [item for item in own if not item.get_closest_marker("skip")] for group, own in groups.items()}
    order = sorted(groups, key=lambda group: -cost(group, awake[group], cells[group]))
    items[:] = [item for group in order for item in sorted(groups[group], key=disturbs)] + rest
