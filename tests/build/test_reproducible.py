"""The same inputs are the same bytes, whoever builds, wherever, with whatever settings of the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from offline import MakeOffline, Offline

from harness.store import file_digest

BUILD = """
import json, os, sys
from pathlib import Path
from harness.arch import parse_list
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.exports import take
from harness.spec import load_image

spec, lock, debs, cache, arches, umask = sys.argv[1:]
os.umask(int(umask, 8))
builder = Builder(Settings(cache=Path(cache), lock=Path(lock), offline=True))
take(builder.store, Path(debs))
images = builder.build_all(load_image([Path(spec)]), parse_list(arches))
print(json.dumps({"uid": os.getuid(), "folders": [str(image.folder) for image in images]}))
"""


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): file_digest(path) for path in files}


def as_other_user(tmp_path: Path, offline: Offline, arches: str) -> dict[str, object]:
    """Build as another user, elsewhere, with another umask, time zone, language, hash seed and file dates."""
    cwd = tmp_path / "elsewhere"
    cwd.mkdir()
    copy = cwd / offline.spec.name
    copy.write_bytes(offline.spec.read_bytes())
    os.utime(copy, (1, 1))
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "TZ": "Asia/Kolkata", "LANG": "de_DE.UTF-8", "LC_ALL": "C",
           "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "12345"}  # fmt: skip
    argv = [sys.executable, "-c", BUILD, copy.name, str(offline.lock), str(offline.debs), str(cwd / "cache"), arches]
    # a user of a namespace of its own: to the program and its files no less another user, and needs no privilege
    other = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if subprocess.run([*other, "true"], check=False, capture_output=True).returncode:
        other = []
    done = subprocess.run([*other, *argv, "0077"], cwd=cwd, env=env, check=True, capture_output=True, text=True)
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert told["uid"] == (65534 if other else os.getuid())
    return told


def compare(tmp_path: Path, offline: Offline, cache: Path, arches: str) -> None:
    ours = offline.build(cache, arches)
    theirs = as_other_user(tmp_path, offline, arches)["folders"]
    assert isinstance(theirs, list) and len(theirs) == len(ours)
    for image, folder in zip(ours, theirs, strict=True):
        assert digests(image.folder) == digests(Path(folder))
        assert {name for name in digests(image.folder) if "/" not in name} == {
            "SHA256SUMS",
            "initrd",
            "kernel",
            "manifest.json",
            "probe",
        }
        assert image.folder.name == Path(folder).name, "the key too"


def test_another_user_elsewhere_makes_the_same_bytes(tmp_path: Path, offline: Offline, warm: Path) -> None:
    compare(tmp_path, offline, warm, "arm64")


@pytest.mark.long
def test_another_user_makes_the_same_bytes_on_every_architecture(tmp_path: Path, make_offline: MakeOffline) -> None:
    compare(tmp_path, make_offline("all"), tmp_path / "cache", "all")
