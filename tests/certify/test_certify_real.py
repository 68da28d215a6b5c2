"""A real certificate: made, verified and booted again; what is not true of it is refused, even when it is signed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from certifying import PATIENCE, Certified, harness
from forging import Change, honest, rederived, signed

from harness.certify import contents, verify
from harness.errors import EvidenceError, UserError

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes
LIE = b"Linux of another vendor\n"
# what is asked of OSes that the harness has not built, and where there is no exact time
OF_OTHERS = {"foreign-boots", "foreign-root-read-only", "boots-wall", "boot-time-wall", "shutdown-wall"}


def hows(ran: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in ran["findings"]:
        found.setdefault(one["how"], []).append(one["text"])
    return found


def test_minimal_is_certified(certified: Certified) -> None:
    assert (certified.code, certified.certificate["result"]) == (0, "PASSED"), certified.certificate["requirements"]
    assert certified.verdicts("not applicable") == OF_OTHERS
    assert certified.verdicts("passed") | OF_OTHERS == {row["id"] for row in certified.certificate["requirements"]}


def test_it_is_true_and_boots_again_from_another_folder(certified: Certified, tmp_path: Path) -> None:
    shutil.copy(certified.path, tmp_path / "received")
    digest = certified.certificate["image"]["digest"]
    key = f"{certified.key_file}.pub"
    ran = harness(tmp_path, "verify", "received", "--key", key, "-p", "base", "--image", digest, "--json",
                  "--timeout-multiplier", PATIENCE)  # fmt: skip
    assert ran.code == 0, ran.words
    found = hows(ran.json)
    assert (len(found["re-executed"]), ran.json["not_checked"], "not checked" in found) == (3, [], False), found
    assert any("whom you trust" in text for text in found["checked"])


def test_what_was_not_checked_is_in_the_last_line_and_the_exit_code(certified: Certified, tmp_path: Path) -> None:
    ran = harness(tmp_path, "verify", str(certified.path), "--no-boot")
    assert ran.code == 7
    last = ran.stdout.splitlines()[-1]
    assert "not all was checked: who signed (--key), which profile (--profile), which image (--image with" in last
    assert "--rebuild), the boot" in last
    assert "the evidence is true" not in ran.stdout


@pytest.mark.slow
def test_what_is_no_evidence_archive_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"", b"PK\x03\x04", b"\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello", bytes(4096)):
        file.write_bytes(content)
        with pytest.raises(UserError, match="is not an evidence archive"):
            verify.unpack(file, tmp_path / "unpacked")
    ran = harness(tmp_path, "verify", "file")
    assert (ran.code, "is not an evidence archive" in ran.words) == (2, True), ran.words
    assert harness(tmp_path, "verify", str(tmp_path)).code == 2


def test_a_signer_who_is_not_trusted_is_refused(certified: Certified, tmp_path: Path) -> None:
    harness(tmp_path, "certify", "--new-key", "other")
    ran = harness(tmp_path, "verify", str(certified.path), "--no-boot", "--key", "other.pub")
    assert ran.code == 1
    assert "whom you do not trust" in ran.words


def test_another_qemu_is_not_re_executable_here_and_no_failure(certified: Certified, tmp_path: Path) -> None:
    (tmp_path / "qemu").write_text('#!/bin/sh\nexec qemu-system-aarch64 "$@"\n')
    (tmp_path / "qemu").chmod(0o755)
    ran = harness(tmp_path, "verify", str(certified.path), "--qemu", "qemu", "--json")
    assert ran.code == 7
    (text,) = hows(ran.json)["not re-executed"]
    assert "not re-executable here: QEMU " in text and "--qemu PATH" in text


def lying(certified: Certified, folder: Path, change: Change) -> Path:
    """The same evidence with some of it changed everywhere, signed by the vendor who lies."""
    one = honest(certified.path, certified.key, folder / "old")
    files, made = one.files(contents.PAGE, contents.BADGE), one.certificate
    change(files, made)
    files, made = rederived(files, folder / "made")
    kept = {name: content for name, content in files.items() if name != contents.CERTIFICATE}
    return signed(kept, made, one.key, folder / "lie.tar.zst")


def another_line(files: dict[str, bytes], made: dict[str, Any], boots: Sequence[str] = contents.EXACT) -> None:
    """Say of exact boots that the console began with a line more."""
    for boot in boots:
        folder = f"{contents.BOOTS}/{boot}"
        raw = files[f"{folder}/console.raw"]
        record = json.loads(files[f"{folder}/record.json"])
        end = raw.index(b"\n", raw.index(b" harness: ready")) + 1
        raw, end = LIE + raw, end + len(LIE)
        record["console_sha256"] = hashlib.sha256(raw).hexdigest()
        record["console_sha256_ready"] = hashlib.sha256(raw[:end]).hexdigest()
        files[f"{folder}/console.raw"] = raw
        # the first line after those that say what was booted
        said = re.sub(rb"(?m)^(?!#)", b"    0.000000 | " + LIE, files[f"{folder}/transcript.txt"], count=1)
        files[f"{folder}/transcript.txt"] = said
        files[f"{folder}/record.json"] = json.dumps(record, indent=1).encode() + b"\n"


def test_two_boots_that_differ_are_not_called_the_same(certified: Certified, tmp_path: Path) -> None:
    lie = lying(certified, tmp_path, partial(another_line, boots=contents.EXACT[1:]))
    with pytest.raises(EvidenceError, match="twice_the_same passed, but by its files: NOT the same twice"):
        verify.check(verify.unpack(lie, tmp_path / "out"), ())


def test_a_lie_that_nothing_contradicts_does_not_boot_again(certified: Certified, tmp_path: Path) -> None:
    lie = lying(certified, tmp_path, another_line)
    verify.check(verify.unpack(lie, tmp_path / "out"), (certified.key.public,))
    ran = harness(tmp_path, "verify", str(lie), "--timeout-multiplier", PATIENCE)
    assert ran.code == 1
    assert "the image was booted again, and it was not as boots/exact/1 says" in ran.words


def hostile_machine(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["machine/qemu-arm64.yml"] += b'  args: ["-drive", "file=/etc/passwd"]\n'
    for name in [name for name in files if name.endswith("/record.json")]:
        record = json.loads(files[name])
        for key in ("argv", "extra_args"):
            record[key] += ["-drive", "file=/etc/passwd"]
        files[name] = json.dumps(record, indent=1).encode() + b"\n"


def test_a_machine_that_could_reach_the_hosts_files_is_not_started(certified: Certified, tmp_path: Path) -> None:
    ran = harness(tmp_path, "verify", str(lying(certified, tmp_path, hostile_machine)), "--json")
    assert ran.code == 7
    assert any("could reach this host's files" in text for text in hows(ran.json)["not re-executed"])
