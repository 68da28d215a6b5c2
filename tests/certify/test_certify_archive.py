"""An archive of a few files: any one bit of it that is changed is refused, and what was changed is named."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.certify import archive, keys, statement, verify
from harness.errors import EvidenceError, UserError

CERTIFICATE = {"result": "PASSED", "requirements": [{"id": "size", "verdict": "passed", "level": "mandatory"}]}
FILES = {"image/kernel": random.Random(1).randbytes(20_000), "cases/a.py": b"hello\n" * 1000, "waivers.yml": b""}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> keys.SigningKey:
    path = tmp_path_factory.mktemp("key") / "key"
    keys.make(path)
    return keys.load(str(path))


def make(folder: Path, key: keys.SigningKey, files: dict[str, bytes] = FILES) -> Path:
    body = archive.pack(files, folder / "body")
    envelope = statement.envelope(body, CERTIFICATE, key)
    archive.join(envelope, folder / "body", folder / "evidence.tar.zst")
    return folder / "evidence.tar.zst"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: keys.SigningKey) -> Path:
    return make(tmp_path_factory.mktemp("archive"), key)


def refusal(path: Path, content: bytes, folder: Path) -> str:
    path.write_bytes(content)
    with pytest.raises((EvidenceError, UserError)) as caught:
        verify.unpack(path, folder)
    return caught.value.message


def test_what_was_packed_comes_out(made: Path, tmp_path: Path, key: keys.SigningKey) -> None:
    found = verify.unpack(made, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert (found.certificate, found.statement.key) == (CERTIFICATE, key.public)


def test_the_same_files_are_the_same_bytes(made: Path, tmp_path: Path, key: keys.SigningKey) -> None:
    assert make(tmp_path, key, dict(reversed(FILES.items()))).read_bytes() == made.read_bytes()


def test_tar_reads_it(made: Path, tmp_path: Path) -> None:
    listed = subprocess.run(["tar", "--zstd", "-tf", made], capture_output=True, text=True, check=False)
    if "zstd: Cannot exec" in listed.stderr:
        pytest.skip("this host's tar has no zstd")
    assert listed.stdout.split() == [archive.ENVELOPE, *sorted(FILES)]


def positions(size: int) -> Iterator[int]:
    """All bits of the first bytes and of the last, and some between."""
    yield from range(80 * 8)
    yield from range((size - 40) * 8, size * 8)
    chosen = random.Random(7)
    yield from (chosen.randrange(size * 8) for _ in range(200))


@pytest.mark.slow
def test_any_bit_that_is_changed_is_refused(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    named = set()
    for position in positions(len(content)):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        said = refusal(tmp_path / "changed", bytes(changed), tmp_path / "out")
        assert " was changed: " in said or said.endswith("is not an evidence archive"), position
        named.add(said.partition(" was changed: ")[0])
    assert {archive.ENVELOPE, "image/kernel"} <= named


@pytest.mark.parametrize("cut", [0, 5, 13, 600, 3000, 20_000, -1])
def test_a_part_of_it_is_refused(made: Path, tmp_path: Path, cut: int) -> None:
    refusal(tmp_path / "cut", made.read_bytes()[:cut], tmp_path / "out")


def test_more_than_it_is_refused(made: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path / "more", made.read_bytes() + b"\0", tmp_path / "out")
    assert said == "the archive's end was changed: more follows"


def test_another_body_is_refused(made: Path, tmp_path: Path, key: keys.SigningKey) -> None:
    other = make(tmp_path, key, {**FILES, "cases/a.py": b"hellO\n" * 1000})
    with archive.opened(made) as (envelope, _):
        archive.join(envelope, tmp_path / "body", other)
    assert refusal(tmp_path / "swapped", other.read_bytes(), tmp_path / "out").startswith("cases/a.py was changed: ")


@pytest.mark.parametrize(
    "names",
    [["../up"], ["/etc/passwd"], ["a", "a/b"], ["a//b"], ["a/./b"], ["x" * 101], ["a\nb"], ["é"], ["a", "a"], [""]],
)
def test_names_that_leave_the_folder_are_not_safe(names: list[str]) -> None:
    assert not archive.safe(names)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([["../up", 1, "0" * 64]], "by names that this harness never gives"),
        ([["b", 1, "0" * 64], ["a", 1, "0" * 64]], "by names that this harness never gives"),
        ([["a", 1, "0" * 64]], "lists a file 'a', which no archive has"),
        ([["events.jsonl", 240 << 20, "0" * 64]], "lists events.jsonl with 251658240 bytes"),
        ([["image/disk", 60 << 30, "0" * 64]], "lists 64424509440 bytes in all"),
        ([["image/disk", 65 << 30, "0" * 64]], "not as this harness signs"),
        ([["a", -1, "0" * 64]], "not as this harness signs"),
        ([["a", True, "0" * 64]], "not as this harness signs"),
        ([["a", 1, "0" * 63]], "not as this harness signs"),
        ([[f"cases/{number:06}.py", 0, "0" * 64] for number in range(2001)], "lists 2001 files"),
    ],
)
def test_a_hostile_list_is_refused_though_it_is_signed(
    members: list[list[object]], said: str, key: keys.SigningKey
) -> None:
    predicate = {
        "result": "PASSED",
        "configuration": [],
        statement.ARCHIVE: {"schema": statement.SCHEMA, "digest": {"sha256": "0" * 64}, "size": 1, "files": members},
        statement.CERTIFICATE: {},
        statement.KEY: key.public.ssh,
    }
    made = {"_type": statement.TYPE, "subject": [], "predicateType": statement.PREDICATE, "predicate": predicate}
    payload = statement.canonical(made)
    envelope = statement.spelled(payload, key.public.id, key.sign(statement.pae(payload)))
    with pytest.raises(EvidenceError, match=said):
        statement.read(envelope, archive.ENVELOPE)


def test_somebody_elses_signature_is_refused(made: Path, tmp_path: Path, key: keys.SigningKey) -> None:
    keys.make(tmp_path / "other")
    other = keys.load(str(tmp_path / "other"))
    with archive.opened(made) as (envelope, _):
        found = statement.read(envelope, archive.ENVELOPE)
    forged = statement.envelope(found.body, CERTIFICATE, keys.SigningKey(key.public, other.sign))
    with pytest.raises(EvidenceError, match="signature is not good"):
        statement.read(forged, archive.ENVELOPE)


def test_a_keys_file_is_private_and_made_once(tmp_path: Path) -> None:
    public = keys.make(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert keys.trusted(tmp_path / "key.pub") == [public]
    with pytest.raises(UserError, match="is there already"):
        keys.make(tmp_path / "key")
    content = (tmp_path / "key.pub").read_bytes()
    (tmp_path / "key").unlink()
    with pytest.raises(UserError, match=r"key\.pub is there already"):
        keys.make(tmp_path / "key")
    assert (tmp_path / "key.pub").read_bytes() == content and not (tmp_path / "key").exists()
    assert keys.is_key(tmp_path / "key.pub")


def test_an_openssh_key_signs_with_a_file_and_through_an_agent(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    line = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        while not (tmp_path / "agent").exists():
            assert agent.poll() is None
        subprocess.run(["ssh-add", "-q", path], check=True)
        for source in (str(path), "agent", f"agent:{line.split()[1]}"):
            signing = keys.load(source)
            assert signing.public.id == line.split()[1]
            assert signing.public.verifies(signing.sign(b"data"), b"data")
            assert not signing.public.verifies(signing.sign(b"data"), b"date")
    finally:
        agent.terminate()
        agent.wait()


@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(range(128, 228)), b"x" * (65 << 10)], ids=range(4))
def test_what_is_no_key_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    for reads in (lambda: keys.load(str(tmp_path / "key")), lambda: keys.trusted(tmp_path / "key")):
        with pytest.raises(UserError):
            reads()
