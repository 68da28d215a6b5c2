"""Lies that a careful vendor tells everywhere: nothing that an archive holds is without a meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from certifying import Certified
from forging import Honest, careful, honest, look

from harness.certify import contents
from harness.errors import EvidenceError

pytestmark = pytest.mark.xdist_group("certified")  # which one worker makes


@pytest.fixture(scope="module")
def one(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Honest:
    return honest(certified.path, certified.key, tmp_path_factory.mktemp("honest"))


def another_bill(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.SBOM] = files[contents.SBOM].replace(b'"versionInfo": "', b'"versionInfo": "9', 1)


def another_relation(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.SBOM] = files[contents.SBOM].replace(b'"relationshipType": "', b'"relationshipType": "NOT_', 1)


def no_bill(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.SBOM] = b"{}\n"


def a_source_too_many(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["sources/9"] = b"of nothing"


def a_console_too_many(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files["boots/wall/console.raw"] = files["boots/exact/1/console.raw"]


def a_transcript_too_few(files: dict[str, bytes], made: dict[str, Any]) -> None:
    del files["boots/wall/transcript.txt"]
    files[contents.EVENTS] = files[contents.EVENTS].replace(b"boots/wall/transcript.txt", b"")


def another_lock(files: dict[str, bytes], made: dict[str, Any]) -> None:
    lock = json.loads(files[contents.LOCK])
    lock["packages"] = [row for row in lock["packages"] if row["name"] != "busybox-static"]
    files[contents.LOCK] = json.dumps(lock).encode()


def another_version(files: dict[str, bytes], made: dict[str, Any]) -> None:
    lock = json.loads(files[contents.LOCK])
    next(row for row in lock["packages"] if row["name"] == "busybox-static")["version"] = "9"
    files[contents.LOCK] = json.dumps(lock).encode()


def other_types(files: dict[str, bytes], made: dict[str, Any]) -> None:
    lock = json.loads(files[contents.LOCK])
    lock["packages"][0]["source"] = 1e300
    files[contents.LOCK] = json.dumps(lock).encode()


def no_lock(files: dict[str, bytes], made: dict[str, Any]) -> None:
    files[contents.LOCK] = b"[]\n"


def another_host(files: dict[str, bytes], made: dict[str, Any]) -> None:
    name = "boots/exact/2/record.json"
    record = json.loads(files[name])
    record["host"]["cpu"] += " of another"
    files[name] = json.dumps(record, indent=1).encode() + b"\n"


def a_file_that_passed(files: dict[str, bytes], made: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in files[contents.EVENTS].splitlines()]
    first = next(row for row in rows if row["event"] == "case")
    more = {**first, "case": "cases/test_root.py", "outcome": "passed"}
    files[contents.EVENTS] += json.dumps(more).encode() + b"\n"


# Lies that are told everywhere: nothing that an archive holds is without a meaning.
UNACCOUNTED = {
    another_bill: "sbom.spdx.json names other things than the manifest",
    another_relation: "sbom.spdx.json names other things than the manifest",
    no_bill: "sbom.spdx.json or the manifest is not as this harness writes it",
    a_source_too_many: "the archive holds sources/9, which nothing in it speaks of",
    a_console_too_many: "the archive holds boots/wall/console.raw, which nothing in it speaks of",
    a_transcript_too_few: "the archive has no boots/wall/transcript.txt",
    another_lock: "lock.json does not list busybox-static",
    another_version: "lock.json does not list busybox-static",
    other_types: "lock.json is not as this harness writes it",
    no_lock: "lock.json is not as this harness writes it",
    another_host: "boots/exact/2 was on another host than boots/exact/1",
    a_file_that_passed: "tells of 'cases/test_root.py' that it passed, and it is not a case",
}


@pytest.mark.parametrize("lie", UNACCOUNTED, ids=lambda lie: lie.__name__)
def test_every_file_and_row_has_its_meaning(one: Honest, tmp_path: Path, lie: Any) -> None:
    with pytest.raises(EvidenceError) as caught:
        look(careful(one, lie, tmp_path), one)
    assert UNACCOUNTED[lie] in str(caught.value)
