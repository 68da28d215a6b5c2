"""Forged evidence: every field changed, conditions, profiles and images swapped; all signed by the vendor who lies."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import (
    Honest,
    JsonFile,
    Path_,
    careful,
    fields_of,
    forged,
    honest,
    leaves,
    look,
    unpacked,
    with_field_changed,
)

from harness import paths
from harness.certify import contents, expect, outcomes, verify
from harness.certify.certificate import VENDORS_WORD
from harness.certify.expect import Expectations
from harness.errors import EvidenceError

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes
SAMPLE = 60  # of some thousand fields, where not all are tried


@pytest.fixture(scope="module")
def one(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return honest(certified.path, certified.key, tmp_path_factory.mktemp("honest"))


def is_hosts(file: JsonFile, at: Path_) -> bool:
    """Say whether a field is one that no reader can compute, and `verify` lists as the vendor's word: when a record's
    milestones were by the host's clock, and how busy the host of a boot was of which the certificate does not speak."""
    if not file.name.endswith(f"/{contents.RECORD}"):
        return False
    boot = file.name.removeprefix(f"{contents.BOOTS}/").removesuffix(f"/{contents.RECORD}")
    of_certificate = boot in (contents.EXACT[0], outcomes.WALL)
    of_host = at[0] == "accel_reason" or at in (("host", "load"), ("host", "cores"))
    return at[-1] in ("host_s", "line_s", "waited_s") or (not of_certificate and of_host)


def accepted(one: Honest, chosen: list[tuple[JsonFile, Path_]], folder: Path) -> list[str]:
    """Return the fields whose change nobody noticed."""
    found = []
    for number, (file, at) in enumerate(chosen):
        place = folder / str(number)
        try:
            look(unpacked(one, with_field_changed(one, file, at), place), one)
            if not is_hosts(file, at):
                found.append(f"{file.name}: {at}")
        except EvidenceError:
            pass
        shutil.rmtree(place)
    return found


def all_fields(one: Honest) -> list[tuple[JsonFile, Path_]]:
    return [(file, at) for file in fields_of(one) for at in leaves(file.data)]


def test_what_is_honest_is_true(one: Honest) -> None:
    look(one.found, one)


def test_no_field_can_be_changed(one: Honest, tmp_path: Path) -> None:
    assert accepted(one, random.Random(13).sample(all_fields(one), SAMPLE), tmp_path) == []


@pytest.mark.long
def test_none_of_all_fields_can_be_changed(one: Honest, tmp_path: Path) -> None:
    assert accepted(one, all_fields(one), tmp_path) == []


def every_condition(files: dict[str, bytes], made: dict[str, Any]) -> None:
    made["conditions"] = ["built", "exact power-off", "exact time", "foreign", "no exact power-off", "no exact time",
                          "no lasting volumes", "no login", "no network"]  # fmt: skip


def no_case(files: dict[str, bytes], made: dict[str, Any]) -> None:
    kept = [line for line in files[contents.EVENTS].splitlines(True) if b"test_root" not in line]
    files[contents.EVENTS] = b"".join(kept)


def another_name(files: dict[str, bytes], made: dict[str, Any]) -> None:
    manifest = json.loads(files["image/manifest.json"])
    manifest["name"] = "famous"
    files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"


def another_kernel(files: dict[str, bytes], made: dict[str, Any]) -> None:
    manifest = json.loads(files["image/manifest.json"])
    manifest["files"][0]["sha256"] = "0" * 64
    files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"


def another_root(files: dict[str, bytes], made: dict[str, Any]) -> None:
    manifest = json.loads(files["image/manifest.json"])
    manifest["root"]["sha256"] = "0" * 64
    files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"


def told_of_the_manifest(change: Callable[[dict[str, Any]], None]) -> Any:
    """A lie of the manifest alone, that no file of the image shows."""

    def lie(files: dict[str, bytes], made: dict[str, Any]) -> None:
        manifest = json.loads(files["image/manifest.json"])
        change(manifest)
        files["image/manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"

    return lie


def hello(manifest: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = manifest["expect"]["services"]["hello"]
    return row


# What cases are judged by: whose init marks the containers, and what these may do.
DECLARED = {
    "init": lambda manifest: manifest.update(init="image"),
    "capabilities": lambda manifest: hello(manifest).update(capabilities=["CAP_SYS_ADMIN"]),
    "ours": lambda manifest: hello(manifest).update(ours=True),
    "reach": lambda manifest: hello(manifest).update(reach=["SYS_ADMIN"]),
    "follows": lambda manifest: hello(manifest).update(follows=["/var/x"]),
    "acts": lambda manifest: manifest.update(acts=["/etc/inittab"]),
    "readonly": lambda manifest: hello(manifest).update(readonly=not hello(manifest)["readonly"]),
    "restart": lambda manifest: hello(manifest).update(restart="never"),
    "ready": lambda manifest: hello(manifest).update(ready=600),
    "ports": lambda manifest: hello(manifest).update(ports=[9999]),
    "udp": lambda manifest: hello(manifest).update(udp=[9999]),
    "raw": lambda manifest: hello(manifest).update(raw=[1]),
    "mounts": lambda manifest: hello(manifest).update(mounts=["/var"]),
}


@pytest.mark.parametrize("key", DECLARED)
def test_the_manifest_declares_what_the_yaml_does(one: Honest, tmp_path: Path, key: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        look(careful(one, told_of_the_manifest(DECLARED[key]), tmp_path), one)
    place = key if key in ("acts", "init") else f"expect.services.hello.{key}"
    assert f"image/manifest.json says of {place} what the image's YAML does not" in str(caught.value)


def another_machine(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["machine/qemu-arm64.yml"] += b"# slower\n"


def another_profile(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["profile/1-base.yml"] = files["profile/1-base.yml"].replace(b"size: 35", b"size: 99")


def another_case(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["cases/test_root.py"] += b"\n"


def a_file_too_many(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["machine/other.yml"] = files["machine/qemu-arm64.yml"]


def another_console(files: dict[str, bytes], made: dict[str, Any]) -> None:
    name = "boots/exact/1/console.raw"
    files[name] = files[name].replace(b"harness: ready", b"harness: reedy")


def another_transcript(files: dict[str, bytes], made: dict[str, Any]) -> None:
    name = "boots/wall/transcript.txt"
    files[name] = files[name].replace(b"harness: root", b"harness: rout")


def another_exact_transcript(files: dict[str, bytes], made: dict[str, Any]) -> None:
    name = "boots/exact/2/transcript.txt"
    files[name] = files[name].replace(b"Requesting system poweroff", b"all is well")


def a_key_twice(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.SBOM] = files[contents.SBOM].replace(b"{", b'{"name": "famous",', 1)


LIES = {
    every_condition: "conditions",
    no_case: "events.jsonl is not what the files beside it give",
    another_name: "says of name what the image's YAML does not",
    another_kernel: "the manifest speaks of another kernel",
    another_root: "the manifest speaks of another root than image/initrd holds",
    another_machine: "machine.digest",
    another_profile: "events.jsonl is not what the files beside it give",
    another_case: "cases.files.cases/test_root.py.sha256",
    a_file_too_many: "2 machines",
    another_console: "boots/exact/1/record.json has another",
    another_transcript: "boots/wall/record.json has another milestones",
    another_exact_transcript: "boots/exact/2/transcript.txt does not say what console.raw beside it does",
    a_key_twice: "sbom.spdx.json is not JSON that this harness writes",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_named(one: Honest, tmp_path: Path, lie: Any) -> None:
    with pytest.raises(EvidenceError) as caught:
        look(unpacked(one, lie, tmp_path), one)
    assert LIES[lie] in str(caught.value)


def test_another_profile_is_not_the_one_that_is_expected(one: Honest, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"it was judged by the profile base 3 .*, and you expect base 3"):
        look(careful(one, another_profile, tmp_path), one)


@pytest.mark.parametrize("lie", [another_machine, another_case], ids=lambda lie: lie.__name__)
def test_what_is_not_the_harnesss_own_is_said_to_be_none(one: Honest, tmp_path: Path, lie: Any) -> None:
    found = careful(one, lie, tmp_path)
    made = verify.check(found, (one.key.public,)).derived
    wanted = Expectations(keys=(one.key.public,), profile="base", image=made.certificate.image.digest)
    hows = [
        finding.text
        for finding in expect.check(made, found.files, wanted, datetime.now(UTC))
        if finding.how != "checked"
    ]
    assert len(hows) == 1 and ("none of this harness's" in hows[0] or "not yours: cases/test_root.py" in hows[0])


def another_outcome(files: dict[str, bytes], made: dict[str, Any]) -> None:
    size = b"test_size.py::test_size_within_budget"
    assert size in files[contents.EVENTS]
    files["profile/1-base.yml"] = files["profile/1-base.yml"].replace(b"size: 35", b"size: 3")


def test_a_finding_that_the_files_contradict_is_refused(one: Honest, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"test_size_within_budget passed, but by its files: .* 3 MB allowed"):
        look(careful(one, another_outcome, tmp_path), one)


def another_message(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.EVENTS] = files[contents.EVENTS].replace(b'"message": ""', b'"message": "well done"')


def test_what_a_case_said_is_the_vendors_word(one: Honest, tmp_path: Path) -> None:
    found = careful(one, another_message, tmp_path)
    look(found, one)
    said = verify.vendors_word(verify.check(found, ()).derived)
    who = "who said ready: by its manifest nobody else could say so in the init's place"
    assert {finding.text for finding in said} == {*VENDORS_WORD, who}


def test_a_profile_in_the_current_folder_is_none_of_the_harnesss(
    one: Honest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "description: cwd\nversion: 2\nrequirements:\n  - {id: size, text: t, cases: [%s]}\n"
    mine = (text % '"test_size.py::test_size_within_budget"').encode()

    def lie(files: dict[str, bytes], made: dict[str, Any]) -> None:
        del files["profile/1-base.yml"]
        files["profile/1-mine.yml"] = mine
        for name in [name for name in files if name.startswith("cases/") and "size" not in name]:
            del files[name]
        kept = [
            line for line in files[contents.EVENTS].splitlines(True) if b'"case"' not in line or b"_within_" in line
        ]
        files[contents.EVENTS] = b"".join(line for line in kept if b"exact_time_within" not in line)

    (tmp_path / "mine.yml").write_bytes(mine)
    monkeypatch.chdir(tmp_path)
    found = careful(one, lie, tmp_path)
    made = verify.check(found, ()).derived
    profile = next(expect.check(made, found.files, Expectations(), datetime.now(UTC)))
    assert profile.lacks and "none of this harness's" in profile.text
    chosen = next(expect.check(made, found.files, Expectations(profile="mine.yml"), datetime.now(UTC)))
    assert (chosen.how, chosen.lacks) == ("checked", "")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"profile": "hardened"}, "and you expect hardened"),
        ({"image": "0" * 64}, "is not the one that you expect"),
        ({"image": "default"}, "is not default, which you expect"),
        ({"image": str(paths.CASES / "images/default.yml")}, "is not default, which you expect"),
        ({"machine": "qemu-s390x"}, "than qemu-s390x, which you expect"),
    ],
)
def test_what_is_not_as_expected_is_refused(one: Honest, wanted: dict[str, str], said: str) -> None:
    made = verify.check(one.found, ()).derived
    with pytest.raises(EvidenceError) as caught:
        list(expect.check(made, one.found.files, Expectations(**wanted), datetime.now(UTC)))  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_how_old_it_may_be(one: Honest) -> None:
    made = verify.check(one.found, ()).derived
    when = datetime.strptime(made.certificate.when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    wanted = Expectations(max_age=30)
    for days, fine in ((29, True), (31, False), (-2, False)):
        now = datetime.fromtimestamp(when.timestamp() + days * 86400, UTC)
        if fine:
            list(expect.check(made, one.found.files, wanted, now))
            continue
        with pytest.raises(EvidenceError, match=r"days ago; you accept 30|yet to come"):
            list(expect.check(made, one.found.files, wanted, now))


def test_the_page_says_units_and_whose_word_it_is(one: Honest) -> None:
    page = one.found.content(contents.PAGE).decode()
    assert "size 35 MB, ready 2000 ms, wall 60 s" in page
    assert "told by the guest" in page or "told by the emulator" in page
    assert all(text.replace("'", "&#39;") in page for text in VENDORS_WORD)
    assert 'class="status none"' in page


def test_an_archive_of_another_vendor_is_not_unpacked(one: Honest, tmp_path: Path) -> None:
    path = forged(one, lambda files, made: None, tmp_path / "x.tar.zst")
    other = expect.keys_of((_other(tmp_path),))
    with pytest.raises(EvidenceError, match="whom you do not trust"):
        verify.unpack(path, tmp_path / "out", other)
    assert not (tmp_path / "out").exists()


def _other(folder: Path) -> str:
    from harness.certify import keys

    return keys.make(folder / "other").ssh
