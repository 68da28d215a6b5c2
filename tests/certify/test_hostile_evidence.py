"""Hostile archives, signed by whoever made them: none takes much memory or time, none ends as a bug of the harness."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import Honest, honest, signed

from harness.certify import archive, keys, statement
from harness.certify.contents import ArchiveMember
from harness.errors import EXIT_BUG, EXIT_HOST, EXIT_NOT_REPEATED, EXIT_OK, EXIT_OTHER_VERSION

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes
MOST_KB = 300_000
MOST_CPU_S = 20.0  # of the processor
SHA = "0" * 64
Files = dict[str, bytes]
MACHINE, SPEC, RECORD = "machine/qemu-arm64.yml", "spec/1-minimal.yml", "boots/exact/1/record.json"


@pytest.fixture(scope="module")
def one(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return honest(certified.path, certified.key, tmp_path_factory.mktemp("honest"))


# Each archive is verified by a process forked from one that has read the harness's code, which costs each the same
# One that pytest itself starts would begin with pytest's own peak of memory, and be judged by it.
FORKING = """
import json, os, sys, traceback
import harness.commands.certificates.verify
from harness.cli import main

for line in sys.stdin:
    path, said = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["harness", "verify", path, "--no-boot"]
        code = 99
        try:
            code = main() or 0
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss, spent]), flush=True)
"""
Verify = Callable[[Path], tuple[int, str]]


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verify]:
    """Verify an archive without booting; gives exit code and words, having looked at memory and processor time."""
    argv = [sys.executable, "-c", FORKING]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forking:
        assert forking.stdin and forking.stdout

        def verify(path: Path) -> tuple[int, str]:
            assert forking.stdin and forking.stdout
            words = tmp_path_factory.mktemp("said") / "words"
            print(json.dumps([str(path), str(words)]), file=forking.stdin, flush=True)
            code, peak_kb, spent = json.loads(forking.stdout.readline())
            said = words.read_text(errors="replace")[: 1 << 20]
            assert peak_kb < MOST_KB, f"{peak_kb / 1000:.0f} MB of memory"
            assert spent < MOST_CPU_S, f"{spent:.1f} s"
            assert code not in (EXIT_OK, EXIT_BUG, EXIT_HOST), said
            assert "Traceback" not in said and "a bug in the harness" not in said, said
            return code, said

        yield verify
        forking.stdin.close()


def test_an_honest_archive_takes_as_little(one: Honest, certified: Certified, bounded: Verify) -> None:
    code, said = bounded(certified.path)
    assert (code, "nothing in it is false" in said) == (EXIT_NOT_REPEATED, True), said


def with_files(change: Callable[[Files], None]) -> Callable[[Honest, Path], Path]:
    """An archive in which some files were changed."""

    def make(one: Honest, folder: Path) -> Path:
        files = one.files()
        change(files)
        return signed(files, one.certificate, one.key, folder / "hostile.tar.zst")

    return make


def listing(*members: tuple[str, int], size: int = 1, **more: Any) -> Callable[[Honest, Path], Path]:
    """An archive whose signed list of files says so; what follows is nothing of it."""

    def make(one: Honest, folder: Path) -> Path:
        rows = [ArchiveMember(name, length, SHA) for name, length in sorted(members)]
        body = archive.Body(SHA, size, tuple(rows))
        return enveloped(json.loads(statement.payload(body, one.certificate, one.key.public)) | more, one.key, folder)

    return make


def enveloped(made: Any, key: keys.SigningKey, folder: Path, *, raw: bytes = b"") -> Path:
    payload = raw or statement.canonical(made)
    content = statement.spelled(payload, key.public.id, key.sign(statement.pae(payload)))
    path = folder / "hostile.tar.zst"
    path.write_bytes(archive.envelope_frame(content) + b"\0")
    return path


def put(name: str, content: bytes) -> Callable[[Honest, Path], Path]:
    return with_files(lambda files: files.update({name: content}))


def deep(one: Honest, folder: Path) -> Path:
    return enveloped(None, one.key, folder, raw=b'{"predicate":' + b"[" * 400_000 + b"]" * 400_000 + b"}")


def wide(one: Honest, folder: Path) -> Path:
    return enveloped(None, one.key, folder, raw=b'{"predicate":[' + b"[]," * 900_000 + b"[]]}")


def wrong_type(one: Honest, folder: Path) -> Path:
    made = one.certificate
    made["requirements"] = [{"level": "mandatory", "verdict": "passed", "id": 7, "cases": "none"}]
    body = one.found.statement.body
    path = enveloped(json.loads(statement.payload(body, made, one.key.public)), one.key, folder)
    archive.pack({name: one.found.folder / name for name in one.found.files.members}, folder / "body")
    path.write_bytes(path.read_bytes()[:-1] + (folder / "body").read_bytes())
    return path


def backwards(one: Honest, folder: Path) -> Path:
    """An initrd whose file has less than no bytes, so that the next one begins before it."""
    files = one.files()
    header = b"070701" + b"0" * 48 + b"-00000A0" + b"0" * 32 + b"00000002" + b"0" * 8 + b"x\0"
    initrd = header * 100
    manifest = json.loads(files["image/manifest.json"])
    (row,) = (row for row in manifest["files"] if row["name"] == "initrd")
    row |= {"size": len(initrd), "sha256": hashlib.sha256(initrd).hexdigest()}
    files |= {"image/initrd": initrd, "image/manifest.json": json.dumps(manifest, indent=1).encode() + b"\n"}
    return signed(files, one.certificate, one.key, folder / "hostile.tar.zst")


def huge_envelope(one: Honest, folder: Path) -> Path:
    path = folder / "hostile.tar.zst"
    frame = archive.envelope_frame(b"{}")
    path.write_bytes(frame[:5] + struct.pack("<Q", 1 << 40) + frame[13:])
    return path


def huge_window(one: Honest, folder: Path) -> Path:
    """A body whose frame asks for a window of 2 GiB."""
    frame = bytes.fromhex("28b52ffd") + b"\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    body = archive.Body(SHA, len(frame), (ArchiveMember("image/kernel", 512, SHA),))
    path = enveloped(json.loads(statement.payload(body, one.certificate, one.key.public)), one.key, folder)
    path.write_bytes(path.read_bytes()[:-1] + frame)
    return path


def holes(one: Honest, folder: Path) -> Path:
    """600 MB of nothing in some kB."""
    large = folder / "disk"
    with large.open("wb") as stream:
        stream.truncate(600 << 20)
    files: dict[str, Any] = {"image/disk": large}
    body = archive.pack(files, folder / "body")
    archive.join(statement.envelope(body, one.certificate, one.key), folder / "body", folder / "hostile.tar.zst")
    return folder / "hostile.tar.zst"


ALIASES = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (at + 1, at + 1, b", ".join([b"*%c" % at] * 9)) for at in range(97, 110)
)
PATTERN = '{name: m%d, pattern: "(a{1,30}b{1,30}){1,30}%d"}'
PATTERNS = (
    "os: {name: x, arch: arm64}\nkernel: kernel\ninitrd: initrd\nmilestones: ["
    + ", ".join(PATTERN % (number, number) for number in range(100))
    + "]\n"
).encode()
HOSTILE: dict[str, Callable[[Honest, Path], Path]] = {
    "240 MB of events": listing(("events.jsonl", 240 << 20), size=25_000),
    "8 MB of empty events": put("events.jsonl", b"[]\n" * 2_700_000),
    "a disk of 60 GiB in 1 kB": listing(("image/disk", 60 << 30), size=1000),
    "600 MB of nothing": holes,
    "2001 files": listing(*((f"cases/{number:06}.py", 0) for number in range(2001))),
    "a name that leaves the folder": listing(("../../etc/passwd", 1)),
    "a name from the root": listing(("/etc/passwd", 1)),
    "a name with an escape": listing(("cases/\x1b[31m.py", 1)),
    "a name that is a folder": listing(("image/kernel", 1), ("image/kernel/x", 1)),
    "a name of the harness's own scratch": listing(("boots/exact/1/again", 1)),
    "a statement nested 400,000 deep": deep,
    "a statement of a million lists": wide,
    "a certificate of other types": wrong_type,
    "an envelope that says 1 TiB": huge_envelope,
    "a window of 2 GiB": huge_window,
    "a manifest nested a million deep": put("image/manifest.json", b"[" * 1_000_000),
    "a manifest of a million values": put("image/manifest.json", b"[" + b"0," * 1_000_000 + b"0]"),
    "a manifest of other types": put("image/manifest.json", b'{"name": 7}'),
    "aliases in the machine's YAML": put(MACHINE, ALIASES),
    "a machine's YAML nested 100,000 deep": put(MACHINE, b"[" * 100_000),
    "an image's YAML of another kind": put(SPEC, b"kernel: []\ninit: {a: b}\n"),
    "an OS with hostile patterns": put(SPEC, PATTERNS),
    "an initrd that leads backwards": backwards,
    "a key twice": put("image/manifest.json", b'{"name": "a", "name": "b"}'),
    "an escape where results differ": put("results.json", b'{"m\x1b[31m\r\n::error": 1}'),
    "a console of a million marks": put("boots/exact/1/console.raw", b"[    0.000001] harness: ready\n" * 550_000),
    "a transcript of a million lines": put("boots/wall/transcript.txt", b"    5.139578 | [    0.1] x\n" * 300_000),
    "a record with numbers of a million digits": put(RECORD, b'{"schema": 1, "memory": ' + b"9" * 1_000_000 + b"}"),
    "a record with what is not a number": put(RECORD, b'{"schema": 1, "ready_us": NaN}'),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_stays_small(one: Honest, bounded: Verify, tmp_path: Path, name: str) -> None:
    code, said = bounded(HOSTILE[name](one, tmp_path))
    assert code in (1, 2) and "\x1b" not in said, said


# What this version reads of another one's archive before it says that it cannot judge it.
OF_ANOTHER = {
    "a manifest of a million values": ("image/manifest.json", b"[" + b"0," * 1_000_000 + b"0]"),
    "aliases in the machine's YAML": (MACHINE, ALIASES),
    "an OS with hostile patterns": (SPEC, PATTERNS),
    "a console of a million marks": ("boots/exact/1/console.raw", b"[    0.000001] harness: ready\n" * 550_000),
    "a record with numbers of a million digits": (RECORD, b'{"schema": 1, "memory": ' + b"9" * 1_000_000 + b"}"),
    "8 MB of empty events": ("events.jsonl", b"[]\n" * 2_700_000),
}


@pytest.mark.parametrize("name", OF_ANOTHER)
def test_a_hostile_archive_of_another_version_stays_small(
    one: Honest, bounded: Verify, tmp_path: Path, name: str
) -> None:
    files, made = one.files(), one.certificate
    events = files["events.jsonl"].replace(made["harness"].encode(), b"0.0.9+0123456789ab")
    files |= {"events.jsonl": events, **dict([OF_ANOTHER[name]])}
    made["harness"] = "0.0.9+0123456789ab"
    code, said = bounded(signed(files, made, one.key, tmp_path / "hostile.tar.zst"))
    assert code == EXIT_OTHER_VERSION and "\x1b" not in said, said
