"""What somebody says of vulnerabilities in an image's packages (VEX): from OpenVEX or CycloneDX, into a bill and out.

Pure. https://github.com/openvex/spec (0.2) and https://cyclonedx.org/docs/1.6/json/ say what the fields mean.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from harness.store import digest_of

CONTEXT = "https://openvex.dev/ns"
# OpenVEX's words, and CycloneDX's for the same; the first of several is the one to write
STATES = {
    "not_affected": ("not_affected", "false_positive"),
    "affected": ("exploitable",),
    "fixed": ("resolved", "resolved_with_pedigree"),
    "under_investigation": ("in_triage",),
}
JUSTIFICATIONS = {
    "vulnerable_code_not_present": "code_not_present",
    "component_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_environment",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
UNSAID = "nothing more was said"
VexRow = Mapping[str, Any]


class VexError(ValueError):
    """A document that is no VEX."""


@dataclass(frozen=True)
class VexStatement:
    """That a vulnerability has a ``status``, one of STATES, in the packages of ``purls``."""

    vulnerability: str
    purls: tuple[str, ...]
    status: str
    justification: str = ""  # one of JUSTIFICATIONS
    detail: str = ""


def read(document: Any) -> list[VexStatement]:
    """Return the statements of an OpenVEX or CycloneDX document. VexError when it is neither, or not whole."""
    try:
        if isinstance(document, dict) and str(document.get("@context", "")).startswith(CONTEXT):
            found = [_of_openvex(row) for row in document["statements"]]
        elif isinstance(document, dict) and document.get("bomFormat") == "CycloneDX":
            refs = {row.get("bom-ref"): row.get("purl", "") for row in document.get("components", ())}
            found = [_of_cyclonedx(row, refs) for row in document["vulnerabilities"]]
        else:
            raise VexError("it is neither OpenVEX nor CycloneDX")
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise VexError(f"it is not whole: {type(error).__name__} {error}") from None
    for one in found:
        if one.status not in STATES or not all(isinstance(text, str) for text in (one.vulnerability, *one.purls)):
            raise VexError(f"its statement of {one.vulnerability!r} has no status that is known: {one.status!r}")
        if one.justification not in ("", *JUSTIFICATIONS):
            raise VexError(f"its statement of {one.vulnerability!r} has no reason that is known: {one.justification!r}")
    return found


def _of_openvex(row: VexRow) -> VexStatement:
    vulnerability = row["vulnerability"]
    name = vulnerability if isinstance(vulnerability, str) else vulnerability["name"]
    purls = [purl for product in row["products"] for purl in _purls(product)]
    detail = row.get("impact_statement") or row.get("action_statement") or row.get("status_notes") or ""
    return VexStatement(name, tuple(purls), row["status"], row.get("justification", ""), str(detail))


def _purls(product: Any) -> Iterator[str]:
    """Yield what a product of OpenVEX means: its parts where it names some, else itself."""
    for one in (product.get("subcomponents") if isinstance(product, dict) else None) or [product]:
        yield one if isinstance(one, str) else one.get("identifiers", {}).get("purl") or one["@id"]


def _of_cyclonedx(row: VexRow, refs: Mapping[str, str]) -> VexStatement:
    said = row.get("analysis", {})
    state = said.get("state", "in_triage")
    status = next((ours for ours, theirs in STATES.items() if state in theirs), str(state))
    reason = said.get("justification", "")
    justification = next((ours for ours, theirs in JUSTIFICATIONS.items() if theirs == reason), "")
    named = [one["ref"] for one in row.get("affects", ())]
    purls = (refs.get(ref.rpartition("#")[2] if ref.startswith("urn:cdx:") else ref) or ref for ref in named)
    return VexStatement(row["id"], tuple(purls), status, justification, str(said.get("detail", "")))


def fits(said: str, purl: str) -> bool:
    """Say whether a package is one of those that a statement's purl means: what that leaves out may be anything."""
    (name, version, more), (its, other, others) = _parts(said), _parts(purl)
    return name == its != "" and version in ("", other) and more <= others


def _parts(purl: str) -> tuple[str, str, frozenset[str]]:
    body, _, rest = purl.partition("#")[0].partition("?")
    name, at, version = body.rpartition("@")
    return (name if at else body), unquote(version if at else ""), frozenset(unquote(rest).split("&")) - {""}


def into(bill: VexRow, statements: Iterable[VexStatement]) -> tuple[dict[str, Any], list[VexStatement]]:
    """Return a CycloneDX bill with the statements that fit its components, and those that fit none."""
    rows, unfit = [], []
    for one in statements:
        hit = [row["bom-ref"] for row in bill["components"]
               if any(fits(said, row.get("purl", "")) for said in one.purls)]  # fmt: skip
        if not hit:
            unfit.append(one)
            continue
        analysis = {"state": STATES[one.status][0], "detail": one.detail,
                    "justification": JUSTIFICATIONS.get(one.justification, "")}  # fmt: skip
        rows.append({"id": one.vulnerability, "analysis": {key: text for key, text in analysis.items() if text},
                     "affects": [{"ref": ref} for ref in hit]})  # fmt: skip
    return {**bill, **({"vulnerabilities": rows} if rows else {})}, unfit


def openvex(bill: VexRow, author: str) -> dict[str, Any]:
    """Return what a CycloneDX bill says of vulnerabilities as an OpenVEX document, about the image as a whole."""
    refs = {row["bom-ref"]: row.get("purl", "") for row in bill["components"]}
    rows = []
    for row in bill.get("vulnerabilities", ()):
        one = _of_cyclonedx(row, refs)
        # OpenVEX asks for a reason or for words, never both, where nothing is affected, and for what to do where
        # something is
        asked = one.status == "affected" or (one.status == "not_affected" and not one.justification)
        said = {"justification": one.justification, _words_for(one): one.detail or (UNSAID if asked else "")}
        parts = [{"@id": purl} for purl in one.purls]
        rows.append({"vulnerability": {"name": one.vulnerability}, "status": one.status,
                     "products": [{"@id": bill["serialNumber"], "subcomponents": parts}],
                     **{key: text for key, text in said.items() if text}})  # fmt: skip
    made = {"@context": f"{CONTEXT}/v0.2.0", "author": author, "timestamp": bill["metadata"]["timestamp"],
            "version": 1, "statements": rows}  # fmt: skip
    return {"@id": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest_of(made))}", **made}


def _words_for(one: VexStatement) -> str:
    if one.status == "not_affected" and not one.justification:
        return "impact_statement"
    return "action_statement" if one.status == "affected" else "status_notes"
