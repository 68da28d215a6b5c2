"""Sizes add up to what is shipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.sizes import MEDIUM, TREE, sizes


def manifest(root: int, own: list[int]) -> dict[str, object]:
    files = [{"name": "kernel", "size": 100, "shipped": True}, {"name": "initrd", "size": root + 30, "shipped": True},
             {"name": "probe", "size": 5, "shipped": False}]  # fmt: skip
    rows = [{"section": "services", "name": f"s{number}", "own": size} for number, size in enumerate(own)]
    return {"files": files, "root": {"size": root}, "components": rows}


def test_a_component_has_its_share_of_the_compressed_root() -> None:
    assert sizes(manifest(50, [75, 25])) == {"kernel": 100, "first stage": 30, "services/s0": 38, "services/s1": 12}


def test_what_has_nothing_of_its_own_is_no_part_and_one_name_is_one_part() -> None:
    made = manifest(100, [0, 75, 25])
    assert sizes(made) == {"kernel": 100, "first stage": 30, "services/s1": 75, "services/s2": 25}
    rows = made["components"]
    assert isinstance(rows, list)
    rows[2]["name"] = "s1"
    assert sizes(made) == {"kernel": 100, "first stage": 30, "services/s1": 100}


def test_of_what_has_no_manifest_no_part_is_known() -> None:
    assert sizes({}) == {}


@given(st.integers(1, 10**8), st.lists(st.integers(1, 10**8), min_size=1, max_size=20))
def test_they_add_up(root: int, own: list[int]) -> None:
    assert sum(sizes(manifest(root, own)).values()) == 100 + root + 30


@pytest.mark.parametrize("size", [300, 180, 179, 30, 7, 0])
def test_a_medium_has_more_in_it_or_is_compressed_as_a_whole(size: int) -> None:
    made = {**manifest(50, [75, 25]), "holds": {"kernel": 100, "initrd": 80},
            "files": [{"name": "disk.raw", "size": size, "shipped": True}]}  # fmt: skip
    found = sizes(made)
    assert sum(found.values()) == size
    assert found.get("medium") == ({300: 120, 180: 0}.get(size))
    if size == 300:
        assert found == {"kernel": 100, "first stage": 30, "services/s0": 38, "services/s1": 12, "medium": 120}


def test_of_nothing_nothing_is_shared() -> None:
    made = {**manifest(0, []), "holds": {"kernel": 5, "initrd": 0}, "root": {"size": 0},
            "files": [{"name": "d", "size": 4, "shipped": True}]}  # fmt: skip
    assert sizes(made) == {"kernel": 4, "first stage": 0}


def test_of_a_format_without_a_kernel_the_components_are_the_whole() -> None:
    made = {**manifest(50, [75, 25]), "files": [{"name": "root.tar", "size": 200, "shipped": True}]}
    assert sizes(made) == {"services/s0": 150, "services/s1": 50}


def test_a_verified_root_and_its_tree_lie_apart() -> None:
    made = manifest(50, [1])
    made["files"] = [{"name": "disk.raw", "size": 300, "shipped": True}]
    made["holds"] = {"kernel": 100, "initrd": 30, "tree": 20}
    assert sizes(made) == {"kernel": 100, "first stage": 30, "services/s0": 50, TREE: 20, MEDIUM: 100}
