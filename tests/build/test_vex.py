"""Statements on vulnerabilities: read from both forms, put where they belong, and given out again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from harness.sbom import vex
from harness.sbom.vex import VexStatement

CRUN = "pkg:deb/debian/crun@1.8.1-1%2Bdeb12u1?arch=arm64&distro=debian-12"
BILL: dict[str, Any] = {
    "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "version": 1, "metadata": {"timestamp": "1970-01-01T00:00:00Z"},
    "components": [{"type": "library", "bom-ref": "c", "name": "crun", "purl": CRUN},
                   {"type": "file", "bom-ref": "f", "name": "kernel"}],
}  # fmt: skip
WORDS = "it is never called"
SAID = VexStatement("CVE-2099-1", (CRUN,), "not_affected", "vulnerable_code_not_in_execute_path", WORDS)
OPENVEX: dict[str, Any] = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "statements": [{
        "vulnerability": {"name": "CVE-2099-1"}, "status": "not_affected", "impact_statement": WORDS,
        "justification": "vulnerable_code_not_in_execute_path",
        "products": [{"@id": "pkg:oci/x", "subcomponents": [{"@id": "crun", "identifiers": {"purl": CRUN}}]}],
    }],
}  # fmt: skip


def test_both_forms_say_the_same_and_come_out_as_they_went_in() -> None:
    assert vex.read(OPENVEX) == [SAID]
    bill, unfit = vex.into(BILL, [SAID])
    assert unfit == [] and JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    assert bill["vulnerabilities"][0]["affects"] == [{"ref": "c"}]
    assert vex.read(bill) == [SAID], "its references are the purls of its own components"
    out = vex.openvex(bill, "Robin")
    assert vex.read(out) == [SAID] and out["author"] == "Robin" and out == vex.openvex(bill, "Robin")


def test_openvex_has_words_where_it_asks_for_them() -> None:
    """It wants a justification or an impact statement, not both, and what to do where something is affected."""
    rows = [SAID, VexStatement("CVE-2099-2", (CRUN,), "not_affected"), VexStatement("CVE-2099-3", (CRUN,), "affected")]
    keys = [{*row} - {"vulnerability", "status", "products"}
            for row in vex.openvex(vex.into(BILL, rows)[0], "x")["statements"]]  # fmt: skip
    assert keys == [{"justification", "status_notes"}, {"impact_statement"}, {"action_statement"}]


@pytest.mark.parametrize("status", vex.STATES)
def test_every_status_survives(status: str) -> None:
    one = VexStatement("CVE-2099-2", (CRUN,), status, detail="words")
    bill, _ = vex.into(BILL, [one])
    assert vex.read(bill) == vex.read(vex.openvex(bill, "x")) == [one]


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        (CRUN, True),
        ("pkg:deb/debian/crun", True),
        ("pkg:deb/debian/crun@1.8.1-1+deb12u1", True),
        ("pkg:deb/debian/crun?arch=arm64", True),
        ("pkg:deb/debian/crun?arch=s390x", False),
        ("pkg:deb/debian/crun@1.8.1-1", False),
        ("pkg:deb/ubuntu/crun", False),
        ("pkg:deb/debian/cru", False),
        ("", False),
    ],
)
def test_which_packages_a_statement_is_about(said: str, fits: bool) -> None:
    bill, unfit = vex.into(BILL, [VexStatement("CVE-2099-3", (said,), "fixed")])
    assert ("vulnerabilities" in bill) == fits and bool(unfit) != fits


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"@context": "https://openvex.dev/ns"}, {"bomFormat": "CycloneDX"},
        {**OPENVEX, "statements": [1]},
        {**OPENVEX, "statements": [{**OPENVEX["statements"][0], "justification": "trust me"}]},
        {**OPENVEX, "statements": [{**OPENVEX["statements"][0], "status": "fine"}]},
        {**OPENVEX, "statements": [{**OPENVEX["statements"][0], "vulnerability": {"name": 1}}]},
        {**OPENVEX, "statements": [{**OPENVEX["statements"][0], "products": [{}]}]},
        {"bomFormat": "CycloneDX", "vulnerabilities": [{"id": "x", "analysis": {"state": "odd"}}]},
    ],
)  # fmt: skip
def test_what_is_no_vex_is_refused(document: Any) -> None:
    with pytest.raises(vex.VexError):
        vex.read(document)
