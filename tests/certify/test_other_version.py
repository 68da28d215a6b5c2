"""Evidence of another version of the harness: told as that, as far as it can be checked; never called true or false."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import Change, Honest, honest, pages, rederived

from harness import __version__
from harness.certify import archive, contents, elsewhere, maker, statement, verify
from harness.certify.expect import Expectations
from harness.commands.certificates import verify as command
from harness.commands.certificates.verify import VerifyRequest
from harness.errors import EXIT_NOT_REPEATED, EXIT_OTHER_VERSION, EXIT_REFUSED, EvidenceError, OtherVersionError

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes
OLD = "0.0.9+0123456789ab"
Look = Callable[..., tuple[int, str, dict[str, list[str]]]]


@pytest.fixture(scope="module")
def one(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return honest(certified.path, certified.key, tmp_path_factory.mktemp("honest"))


def of_version(one: Honest, folder: Path, said: str, change: Change | None = None, **forged: Any) -> Path:
    """Evidence as a harness of the version `said` would have written it: ``change`` is what it writes otherwise."""
    files = one.files(contents.PAGE, contents.BADGE)
    own = json.loads(one.found.content(contents.CERTIFICATE))["harness"]
    files[contents.EVENTS] = files[contents.EVENTS].replace(f'"{own}"'.encode(), f'"{said}"'.encode())
    files, made = rederived(files, folder / "made")
    kept = {name: content for name, content in files.items() if name != contents.CERTIFICATE}
    made |= forged
    if change:
        change(kept, made)
    body = archive.pack(pages(made, one.key) | kept, folder / "body")
    archive.join(statement.envelope(body, made, one.key), folder / "body", folder / "old.tar.zst")
    return folder / "old.tar.zst"


@pytest.fixture
def look(one: Honest, capsys: pytest.CaptureFixture[str]) -> Look:
    """Verify an archive, not booting: exit code, last line, and what was found by how."""

    def run(path: Path, **wanted: Any) -> tuple[int, str, dict[str, list[str]]]:
        image = wanted.pop("image", one.certificate["image"]["digest"])
        expected = Expectations(keys=(one.key.public,), profile="base", image=image)
        code = command.run(path, VerifyRequest(boot=False, wanted=replace(expected, **wanted)))
        lines = capsys.readouterr().out.splitlines()
        found: dict[str, list[str]] = {}
        for line in lines:
            found.setdefault(line[:15].strip(), []).append(line[17:])
        return code, lines[-1], found

    return run


def test_this_harness_names_itself(one: Honest) -> None:
    assert one.certificate["harness"] == maker.own() == f"{__version__}+{maker.own().partition('+')[2]}"
    assert not maker.is_other(maker.own()) and not maker.is_other_version(maker.own())


def test_a_file_of_the_harness_that_is_otherwise_is_another_build(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "__pycache__").mkdir()
    before = maker._digest(tmp_path)
    (tmp_path / "__pycache__/a.pyc").write_text("made")
    assert maker._digest(tmp_path) == before
    (tmp_path / "a.py").write_text("a = 2\n")
    assert maker._digest(tmp_path) != before


def test_what_another_version_writes_the_same_way_is_checked_and_not_called_true(
    one: Honest, look: Look, tmp_path: Path
) -> None:
    code, last, found = look(of_version(one, tmp_path, OLD))
    assert code == EXIT_OTHER_VERSION
    assert last.startswith(f"harness {OLD} made it: {maker.own()} calls it neither true nor false; not checked: what")
    assert "the boot" in last and "certified" in last and "is true" not in last
    assert found["not checked"] == [elsewhere.who(OLD)]
    assert len([text for text in found["checked"] if "as this version writes it as well" in text]) == 8


def another_bill(files: dict[str, bytes], made: dict[str, Any]) -> None:
    said = json.loads(files[contents.SBOM])
    said["creationInfo"]["creators"] = ["Tool: bootharness-0.0.9"]
    (own,) = (row for row in said["packages"] if row["name"] == "bootharness")
    own["versionInfo"] = "0.0.9"
    files[contents.SBOM] = json.dumps(said, indent=1).encode() + b"\n"


def another_page(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.PAGE] = b"<p>Made by harness 0.0.9</p>\n"


def fewer_words(files: dict[str, bytes], made: dict[str, Any]) -> None:
    made["vendors_word"] = made["vendors_word"][1:]


def more_in_records(files: dict[str, bytes], made: dict[str, Any]) -> None:
    name = f"boots/exact/1/{contents.RECORD}"
    files[name] = json.dumps(json.loads(files[name]), indent=2).encode() + b"\n"


def more_in_the_certificate(files: dict[str, bytes], made: dict[str, Any]) -> None:
    made["colour"] = "blue"


OTHERWISE: dict[Change, str] = {
    another_bill: "the bill of materials, the lock, and that each file has a meaning: this version finds it otherwise",
    another_page: "certificate.html and badge.svg: this version finds it otherwise",
    fewer_words: "the certificate: this version finds it otherwise: the certificate is not what its files give",
    more_in_records: "records, events and results, computed again: this version finds it otherwise",
    more_in_the_certificate: "the certificate's fields, the image's, machine's and profile's files, the boots' records",
}


@pytest.mark.parametrize("change", OTHERWISE, ids=lambda change: change.__name__)
def test_what_another_version_writes_otherwise_is_named_and_no_lie(
    one: Honest, look: Look, tmp_path: Path, change: Change
) -> None:
    code, last, found = look(of_version(one, tmp_path, OLD, change))
    assert (code, "neither true nor false" in last) == (EXIT_OTHER_VERSION, True), last
    assert any(text.startswith(OTHERWISE[change]) for text in found["not checked"]), found


@pytest.mark.parametrize("change", OTHERWISE, ids=lambda change: change.__name__)
def test_the_same_of_this_very_harness_is_a_lie(one: Honest, look: Look, tmp_path: Path, change: Change) -> None:
    with pytest.raises(EvidenceError) as caught:
        look(of_version(one, tmp_path, maker.own(), change))
    assert caught.value.exit_code == EXIT_REFUSED


@pytest.mark.parametrize("said", [__version__, f"{__version__}+000000000000"], ids=["no build", "another build"])
def test_another_build_of_this_version_is_told_only_where_it_matters(
    one: Honest, look: Look, tmp_path: Path, said: str
) -> None:
    code, last, _ = look(of_version(one, tmp_path / "same", said))
    assert (code, "nothing in it is false" in last) == (EXIT_NOT_REPEATED, True), last
    code, last, found = look(of_version(one, tmp_path / "otherwise", said, fewer_words))
    assert (code, "neither true nor false" in last) == (EXIT_OTHER_VERSION, True), last
    assert "another build of this version, made it" in found["not checked"][0]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"profile": "hardened"}, "and you expect hardened"),
        ({"image": "0" * 64}, "is not the one that you expect"),
        ({"machine": "qemu-s390x"}, "than qemu-s390x, which you expect"),
    ],
)
def test_what_is_not_as_expected_is_so_in_every_version(
    one: Honest, look: Look, tmp_path: Path, wanted: dict[str, str], said: str
) -> None:
    with pytest.raises(EvidenceError, match=said):
        look(of_version(one, tmp_path, OLD), **wanted)


def named_old(files: dict[str, bytes], made: dict[str, Any]) -> None:
    made["harness"] = OLD


def test_a_certificate_that_names_another_version_than_its_events_is_a_lie(
    one: Honest, look: Look, tmp_path: Path
) -> None:
    with pytest.raises(EvidenceError, match="do not name the same harness"):
        look(of_version(one, tmp_path, maker.own(), named_old))


def test_what_cannot_be_read_is_still_of_the_image_that_is_expected(one: Honest, look: Look, tmp_path: Path) -> None:
    path = of_version(one, tmp_path, OLD, more_in_the_certificate)
    code, last, found = look(path)
    assert (code, "what it is about cannot be read here" in last) == (EXIT_OTHER_VERSION, True)
    assert any("it is of the digest that you expect" in text for text in found["checked"])
    assert any("that it is of base, which you expect" in text for text in found["not checked"])
    with pytest.raises(EvidenceError, match="its image is not the one that you expect"):
        look(path, image="0" * 64)


def test_its_signer_and_its_bits_are_judged_as_ever(one: Honest, look: Look, tmp_path: Path) -> None:
    path = of_version(one, tmp_path, OLD)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    (tmp_path / "bit").write_bytes(content)
    with pytest.raises(EvidenceError, match="was changed"):
        look(tmp_path / "bit")


def enveloped(one: Honest, folder: Path, said: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """An archive whose signed statement another version has written."""
    made = one.certificate | {"harness": said}
    files = {name: one.found.folder / name for name in one.found.files.members}
    body = archive.pack(files, folder / "body")
    payload = json.loads(statement.payload(body, made, one.key.public))
    change(payload["predicate"])
    raw = statement.canonical(payload)
    content = statement.spelled(raw, one.key.public.id, one.key.sign(statement.pae(raw)))
    archive.join(content, folder / "body", folder / "old.tar.zst")
    return folder / "old.tar.zst"


def another_schema(predicate: dict[str, Any]) -> None:
    predicate[statement.ARCHIVE]["schema"] = 3


def another_file(predicate: dict[str, Any]) -> None:
    rows = predicate[statement.ARCHIVE]["files"]
    rows.append(["zzz.json", 0, "0" * 64])


def no_files(predicate: dict[str, Any]) -> None:
    del predicate[statement.ARCHIVE]["files"]


@pytest.mark.parametrize(
    ("said", "change", "error"),
    [
        (OLD, another_schema, OtherVersionError), (OLD, another_file, OtherVersionError),
        (OLD, no_files, OtherVersionError), (maker.own(), another_schema, OtherVersionError),
        (maker.own(), another_file, EvidenceError), (maker.own(), no_files, EvidenceError),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:5]),
)  # fmt: skip
def test_an_archive_that_another_version_has_put_together_otherwise(
    one: Honest, tmp_path: Path, said: str, change: Callable[[dict[str, Any]], None], error: type[EvidenceError]
) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify.unpack(enveloped(one, tmp_path, said, change), tmp_path / "out", (one.key.public,))
    assert type(caught.value) is error
    assert caught.value.exit_code == (EXIT_OTHER_VERSION if error is OtherVersionError else EXIT_REFUSED)
    if error is OtherVersionError:
        assert f"it says that harness {said} made it, and this is {maker.own()}" in str(caught.value)
