"""A real certificate: made, verified and booted again; what is not true of it is refused, even when it is signed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from certifying import PATIENCE, Certified, harness

from harness.certify import archive, evidence, statement, verify
from harness.commands.certificates import verify as command
from harness.errors import EvidenceError

pytestmark = [pytest.mark.boots, pytest.mark.builds]

EXACT = f"{evidence.BOOTS}/{evidence.EXACT[0]}"
LIE = b"Linux of another vendor\n"
# what is asked of OSes that the harness has not built, and where there is no exact time
OF_OTHERS = {"foreign-boots", "foreign-root-read-only", "boots-wall", "boot-time-wall", "shutdown-wall"}
Change = Callable[[dict[str, bytes], dict], None]


def hows(ran: dict) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in ran["findings"]:
        found.setdefault(one["how"], []).append(one["text"])
    return found


def test_minimal_is_certified(certified: Certified) -> None:
    assert (certified.code, certified.certificate["result"]) == (0, "PASSED"), certified.certificate["requirements"]
    assert certified.verdicts("not applicable") == OF_OTHERS
    assert certified.verdicts("passed") | OF_OTHERS == {row["id"] for row in certified.certificate["requirements"]}
    assert certified.certificate["cases"]["changed"] is not None


def test_it_is_true_and_boots_again_from_another_folder(certified: Certified, tmp_path: Path) -> None:
    shutil.copy(certified.path, tmp_path / "received")
    key = f"{certified.key_file}.pub"
    ran = harness(tmp_path, "verify", "received", "--key", key, "--json", "--timeout-multiplier", PATIENCE)
    assert ran.code == 0, ran.words
    found = hows(ran.json)
    assert len(found["re-executed"]) == 1
    assert not [text for text in found.get("not checked", []) if "cases" not in text], found
    assert any("whom you trust" in text for text in found["checked"])


def test_without_a_key_it_says_that_nobody_vouches(certified: Certified, tmp_path: Path) -> None:
    ran = harness(tmp_path, "verify", str(certified.path), "--no-boot", "--json")
    assert ran.code == 0
    assert any(text.startswith("who signed") for text in hows(ran.json)["not checked"])
    assert any("--no-boot" in text for text in hows(ran.json)["not re-executed"])


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
    (text,) = [one for one in hows(ran.json)["not re-executed"] if "exact boots" in one]
    assert "not re-executable here: QEMU " in text and "--qemu PATH" in text


def resigned(certified: Certified, folder: Path, change: Change) -> Path:
    """The same evidence with some of it changed, signed by the vendor who lies."""
    found = verify.unpack(certified.path, folder / "old")
    files = {one.name: (folder / "old" / one.name).read_bytes() for one in found.statement.body.members}
    made = json.loads(json.dumps(found.certificate))
    change(files, made)
    if evidence.same(found.certificate, files[evidence.CERTIFICATE]):
        files[evidence.CERTIFICATE] = evidence.as_json(made)
    body = archive.pack(files, folder / "body")
    images = [name for name in files if name.startswith("image/")]
    archive.join(statement.envelope(body, made, images, [], certified.key), folder / "body", folder / "lie.tar.zst")
    return folder / "lie.tar.zst"


def edit(name: str, old: bytes, new: bytes) -> Change:
    def change(files: dict[str, bytes], made: dict) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


def better_verdict(files: dict[str, bytes], made: dict) -> None:
    files[evidence.EVENTS] = files[evidence.EVENTS].replace(b'"outcome": "passed"', b'"outcome": "failed"')


def no_requirement(files: dict[str, bytes], made: dict) -> None:
    del made["requirements"][0], made["profile"]["requirements"][0]


def faster(files: dict[str, bytes], made: dict) -> None:
    made["figures"]["exact"]["ready"] -= 1


def larger_budget(files: dict[str, bytes], made: dict) -> None:
    made["budget"]["size"] = 40.0


def smaller(files: dict[str, bytes], made: dict) -> None:
    made["image"]["size"] -= 1


def another_kernel(files: dict[str, bytes], made: dict) -> None:
    files["image/kernel"] += b"\0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (better_verdict, "but what the cases found makes it failed"),
        (no_requirement, "the certificate's requirements are not those of the profile base 2"),
        (faster, "the certificate says "),
        (larger_budget, "the certificate's budget is not that of the profile base 2"),
        (smaller, "bytes, the image's files have"),
        (another_kernel, "the certificate speaks of another image/kernel than the archive has"),
        (edit(f"{EXACT}/console.raw", b"harness: ready", b"harness: reedy"), f"{EXACT}/record.json has other digests"),
        (edit(f"{EXACT}/record.json", b'"name": "init"', b'"name": "inot"'), f"{EXACT}/record.json has another"),
        (edit(evidence.CERTIFICATE, b'"PASSED"', b'"WARNED"'), "is not the certificate that was signed"),
        (edit(evidence.PAGE, b"certified", b"Certified"), "certificate.html does not say what was signed"),
        (edit(evidence.BADGE, b"certified", b"Certified"), "badge.svg does not say what was signed"),
        (edit(evidence.EVENTS, b'{"event"', b'["event"'), "the certificate is not one of this harness's"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else None,
)
def test_what_is_signed_and_not_true_is_refused(
    certified: Certified, tmp_path: Path, change: Change, said: str
) -> None:
    lie = resigned(certified, tmp_path, change)
    with pytest.raises(EvidenceError) as caught:
        command.run(lie, command.VerifyRequest(boot=False))
    assert said in str(caught.value)


def consistent_lie(files: dict[str, bytes], made: dict, boots: Sequence[str] = evidence.EXACT) -> None:
    """Say of both boots, consistently, that the console began with a line more."""
    import hashlib

    for boot in boots:
        folder = f"{evidence.BOOTS}/{boot}"
        raw = files[f"{folder}/console.raw"]
        record = json.loads(files[f"{folder}/record.json"])
        end = raw.index(b"\n", raw.index(b" harness: ready")) + 1
        raw, end = LIE + raw, end + len(LIE)
        record["console_sha256"] = hashlib.sha256(raw).hexdigest()
        record["console_sha256_ready"] = hashlib.sha256(raw[:end]).hexdigest()
        files[f"{folder}/console.raw"], files[f"{folder}/record.json"] = raw, json.dumps(record).encode()


def test_two_boots_that_differ_are_not_called_the_same(certified: Certified, tmp_path: Path) -> None:
    lie = resigned(certified, tmp_path, partial(consistent_lie, boots=evidence.EXACT[1:]))
    with pytest.raises(EvidenceError, match="calls exact-time passed, but by its records: NOT the same twice"):
        command.run(lie, command.VerifyRequest(boot=False))


def test_a_lie_that_nothing_contradicts_does_not_boot_again(certified: Certified, tmp_path: Path) -> None:
    lie = resigned(certified, tmp_path, consistent_lie)
    assert harness(tmp_path, "verify", str(lie), "--no-boot").code == 0
    ran = harness(tmp_path, "verify", str(lie), "--timeout-multiplier", PATIENCE)
    assert ran.code == 1
    assert "the image was booted again, and it was not as boots/exact/1 says" in ran.words


def hostile_machine(files: dict[str, bytes], made: dict) -> None:
    files[evidence.MACHINE] = files[evidence.MACHINE] + b'  args: ["-drive", "file=/etc/passwd"]\n'


def test_a_machine_that_could_reach_the_hosts_files_is_not_started(certified: Certified, tmp_path: Path) -> None:
    ran = harness(tmp_path, "verify", str(resigned(certified, tmp_path, hostile_machine)), "--json")
    assert ran.code == 7
    assert any("could reach this host's files" in text for text in hows(ran.json)["not re-executed"])
