"""What runs leave behind stays within limits: the oldest goes, and nothing that is not the harness's own."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands.host.clean import clean
from harness.commands.nights import retain
from harness.retention import Removable, surplus
from harness.run.folder import RunFolder
from harness.spec.models.plan import DiskLimits
from harness.store import Store, digest_of

ROWS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 9)), max_size=20)


@given(ROWS, st.integers(0, 1000), st.integers(0, 300))
def test_no_more_goes_than_must_and_the_oldest_first(rows: list[tuple[int, int]], limit: int, stay: int) -> None:
    entries = [Removable(Path(str(at)), size, used) for at, (size, used) in enumerate(rows)]
    gone = surplus(entries, limit, stay=stay)
    left = [one for one in entries if one not in gone]
    taken = stay + sum(one.size for one in left)
    assert taken <= limit or not left
    if gone:
        assert taken + gone[-1].size > limit
        assert max(one.used for one in gone) <= min((one.used for one in left), default=9)


def run(base: Path, name: str, size: int = 100_000) -> Path:
    folder = RunFolder(base / name).take().path
    (folder / "cells").mkdir()
    (folder / "cells/transcript").write_bytes(b"x" * size)
    os.utime(folder, (len(list(base.iterdir())),) * 2)  # each later than the one before
    return folder


def there(base: Path) -> set[str]:
    return {path.name for path in base.iterdir()}


def test_older_runs_go_and_what_is_no_run_stays(tmp_path: Path) -> None:
    older = [run(tmp_path, f"2026010{day}-000000") for day in range(1, 6)]
    run(tmp_path, "my-run")
    (tmp_path / "20250101-000000").mkdir()
    (tmp_path / "20250101-000000/thesis.txt").write_text("mine")
    (tmp_path / "latest").symlink_to(older[-1].name)
    told = list(retain.after_run(DiskLimits(results=0.25), older[-1]))
    assert there(tmp_path) == {"20260104-000000", "20260105-000000", "my-run", "20250101-000000", "latest"}
    assert told == [f"removed 3 older runs in {tmp_path}: 20260101-000000, 20260102-000000, 20260103-000000"]
    assert list(retain.after_run(DiskLimits(results=0.25), older[-1])) == []


def test_the_run_that_has_ended_the_newest_and_one_at_work_stay(tmp_path: Path) -> None:
    ended, working, old, newest = (run(tmp_path, f"2026010{day}-000000") for day in range(1, 5))
    with RunFolder(working).held():
        assert retain.runs(tmp_path, 0, ended) == [old.name]
    assert there(tmp_path) == {ended.name, working.name, newest.name}


def test_folders_that_a_person_has_named_stay(tmp_path: Path) -> None:
    run(tmp_path, "20260101-000000")
    assert list(retain.after_run(DiskLimits(results=0.001), run(tmp_path, "night"))) == []
    assert there(tmp_path) == {"20260101-000000", "night"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Five layers of 100 kB, made one after another, of which the first was used again; and somebody's holidays."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    store = Store(tmp_path / "cache")
    for number in range(5):
        made = store.make("layers", digest_of(number), fill)
        os.utime(made, (number + 1,) * 2)
    store.make("layers", digest_of(0), lambda _: pytest.fail("it is there"))
    (store.root / "layers/holidays").mkdir()
    fill(store.root / "layers/holidays")
    return store


def fill(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 100_000)


def test_of_the_cache_what_was_longest_unused_goes(cache: Store, capsys: pytest.CaptureFixture[str]) -> None:
    holders(cache)
    assert clean(everything=False, dry_run=True, to_mb=0.25, as_json=True) == 0
    (kind,) = json.loads(capsys.readouterr().out)["kinds"]
    assert (kind["kind"], kind["entries"]) == ("layers", 3) and 300_000 <= kind["size"] < 350_000
    assert len(there(cache.root / "layers")) == 6
    assert list(retain.after_run(DiskLimits(cache=0.25), cache.root)) == [
        f"removed 0.3 MB, longest unused, from {cache.root}"
    ]
    assert there(cache.root / "layers") == {digest_of(0), digest_of(4), "holidays"}
    assert time.time() - cache.path("layers", digest_of(0)).stat().st_mtime < 3600


def holders(cache: Store) -> None:
    """Let go of the cache, which its maker holds for as long as the process lives."""
    from harness import store

    store._held.pop(cache.root).close()


def test_a_cache_that_is_used_is_left_alone_and_that_is_told(cache: Store) -> None:
    (told,) = retain.after_run(DiskLimits(cache=0.001), cache.root)
    assert told == f"did not shrink the cache: the cache is in use: {cache.root}"
    assert len(there(cache.root / "layers")) == 6
