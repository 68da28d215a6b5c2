"""An OS that the harness has not built is certified as far as cases can be run on it, and boots again."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from certifying import MINIMAL, PATIENCE, harness

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.certify import variations
from harness.certify.expect import Expectations
from harness.commands.certificates import verify
from harness.commands.certificates.verify import VerifyRequest
from harness.image import Image
from harness.spec import load_image
from harness.spec.profile import load_profile

pytestmark = [pytest.mark.boots, pytest.mark.builds]

PROFILE = """\
description: what can be asked of an OS that powers off by itself
version: 1
budget: {ready: 2000}
requirements:
"""
OS = """\
os: {name: theirs, arch: arm64}
kernel: vmlinuz
initrd: files/initrd
cmdline: quiet cryptomgr.notests rdinit=/init
milestones:
  - {name: booting, pattern: 'harness: boot$'}
  - {name: ready, pattern: 'harness: ready'}
"""
# What only a login can show.
UNASKED = ("foreign-root-read-only", "kernel-log", "kernel-untainted")
WAIVER = "  - {{requirement: {name}, reason: it has no login, owner: release team, until: {until}}}\n"


def foreign(folder: Path) -> Path:
    """The image `minimal` as somebody else's, with the profile `base` but for what takes a power button's patience."""
    image: Image = Builder(Settings()).build(load_image([MINIMAL]), by_name("arm64"))
    (folder / "files").mkdir()
    (folder / "vmlinuz").symlink_to(image.kernel)
    (folder / "files/initrd").symlink_to(image.initrd)
    (folder / "os.yml").write_text(OS)
    kept = [one.model_dump(mode="json") for one in load_profile("base").requirements if one.id != "shutdown-wall"]
    (folder / "theirs.yml").write_text(PROFILE + yaml.safe_dump(kept))
    (folder / "waivers.yml").write_text(
        "waivers:\n" + "".join(WAIVER.format(name=name, until=date.today() + timedelta(days=90)) for name in UNASKED)
    )
    return folder / "os.yml"


def test_a_foreign_os_is_certified_as_far_as_cases_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml_ = foreign(tmp_path)
    ran = harness(tmp_path, "certify", str(yaml_), "-m", "qemu-arm64", "-p", "./theirs.yml", "-o", "evidence", "--json",
                  "--key", str(key(tmp_path)), "--timeout-multiplier", PATIENCE, "--results", "out", "--waivers",
                  "waivers.yml")  # fmt: skip
    assert ran.code == 0, ran.words
    assert ran.json["result"] == "WARNED"
    verdicts = {row["id"]: row["verdict"] for row in ran.json["requirements"]}
    passed = {"foreign-boots", "exact-time", "boot-time", "size"}
    assert {name for name, verdict in verdicts.items() if verdict == "passed"} == passed
    assert {name for name, verdict in verdicts.items() if verdict == "waived"} == set(UNASKED)
    assert set(verdicts.values()) == {"passed", "waived", "not applicable"}
    whys = {row["why"] for row in ran.json["requirements"] if row["verdict"] == "waived"}
    assert all("was skipped: this OS has no login" in why for why in whys), whys
    # that its figures hold in kind is shown with images of the harness's own, and of Debian by the long tests
    monkeypatch.setattr(variations, "check", lambda then, stranger, *, claimed: iter(()))
    wanted = Expectations(profile="./theirs.yml", image=str(yaml_))
    monkeypatch.chdir(tmp_path)
    request = VerifyRequest(key=Path("key.pub"), wanted=wanted, patience=float(PATIENCE), as_json=True)
    assert verify.run(Path("evidence"), request) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any(one["how"] == "re-executed" for one in findings), findings


def key(folder: Path) -> Path:
    harness(folder, "certify", "--new-key", "key")
    return folder / "key"


def test_an_os_of_another_architecture_is_refused(tmp_path: Path) -> None:
    ran = harness(tmp_path, "certify", str(foreign(tmp_path)), "-m", "qemu-s390x")
    assert ran.code == 2
    assert "theirs is for arm64, but qemu-s390x is s390x" in ran.words
