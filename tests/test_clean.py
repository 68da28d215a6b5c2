"""`harness clean`: what goes, what stays, and who keeps it away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import paths
from harness.commands.host.clean import KINDS, clean
from harness.errors import HostError
from harness.store import Store, digest_of, seal

KEY = digest_of("something")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with results, downloads, a killed maker's leftover, and things that are not the harness's."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    for folder in (f"images/{KEY}", f"layers/{KEY}", f"debs/{KEY}", f"apt/{KEY[:24]}", "tmp/999999999-images-x",
                   "images/holidays", "letters"):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_bytes(b"x" * 100_000)
    for folder in (f"images/{KEY}", f"layers/{KEY}"):
        seal(tmp_path / folder)
    return tmp_path


def left(cache: Path) -> set[str]:
    """Return which of the cache's files are there."""
    return {str(path.parent.relative_to(cache)) for path in cache.rglob("file")}


def test_results_go_downloads_and_strangers_stay(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(everything=False, dry_run=False) == 0
    assert left(cache) == {f"debs/{KEY}", f"apt/{KEY[:24]}", "images/holidays", "letters"}
    assert "freed 0.3 MB" in capsys.readouterr().out
    assert list((cache / "tmp").iterdir()) == []


def test_all_takes_the_downloads_too(cache: Path) -> None:
    clean(everything=True, dry_run=False)
    assert left(cache) == {"images/holidays", "letters"}


def test_dry_run_only_says(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = left(cache)
    clean(everything=True, dry_run=True)
    assert left(cache) == before
    assert "would free 0.5 MB" in capsys.readouterr().out


@pytest.mark.parametrize("dry_run", [True, False])
def test_json(cache: Path, capsys: pytest.CaptureFixture[str], dry_run: bool) -> None:
    clean(everything=False, dry_run=dry_run, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["dry_run"]) == (str(cache), dry_run)
    assert [(row["kind"], row["entries"]) for row in found["kinds"]] == [("images", 1), ("layers", 1), ("leftovers", 1)]
    assert found["freed"] == sum(row["size"] for row in found["kinds"]) > 300_000
    assert (f"images/{KEY}" in left(cache)) == dry_run


def test_no_cache_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "none"))
    assert clean(everything=True, dry_run=False) == 0
    assert "nothing to clean" in capsys.readouterr().out
    assert clean(everything=True, dry_run=False, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["freed"] == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_refuses_while_another_process_uses_the_cache(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.store import Store\n"
        f"Store(Path(sys.argv[1])).make('images', {KEY!r}, print); print('using', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(cache)]
    before = left(cache)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "using\n"
        with pytest.raises(HostError, match="in use") as caught:
            clean(everything=False, dry_run=False)
        assert re.search(r"processes: \d", caught.value.details)
        assert left(cache) == before
        user.kill()
    clean(everything=False, dry_run=False)
    assert f"images/{KEY}" not in left(cache)


def test_every_kind_that_the_harness_stores_is_known() -> None:
    stored = {
        kind
        for path in paths.PACKAGE.rglob("*.py")
        for kind in re.findall(r"\.make\(\s*\"([\w-]+)\"", path.read_text())
    }
    assert stored
    assert stored <= {kind.pattern.partition("/")[0] for kind in KINDS}


def test_making_goes_on_after_cleaning(cache: Path) -> None:
    clean(everything=True, dry_run=False)
    made = Store(cache).make("images", KEY, lambda work: (work / "new").touch())
    assert (made / "new").exists()
