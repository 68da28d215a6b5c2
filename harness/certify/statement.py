"""What is signed: an in-toto statement of a test's result, in a DSSE envelope.

https://github.com/in-toto/attestation: spec/v1 and spec/predicates/test-result.md (version 0.1);
https://github.com/secure-systems-lab/dsse. Names of extension fields begin with ``bootharness_``.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.certify.archive import MAX_BYTES, MAX_FILES, ArchiveMember, Body, changed, safe
from harness.certify.keys import PublicKey, SigningKey, public_key
from harness.errors import EvidenceError

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"
ARCHIVE, KEY, CERTIFICATE = "bootharness_archive", "bootharness_public_key", "bootharness_certificate"
SCHEMA = 1
_MANDATORY = {"passed": "passed", "failed": "failed", "not run": "failed", "waived": "warned"}
_RECOMMENDED = _MANDATORY | {"failed": "warned", "not run": "warned"}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Statement:
    """A statement that has been read: the second frame it speaks of, the certificate's content, and who signed it."""

    body: Body
    certificate: dict[str, Any]
    predicate: dict[str, Any]
    key: PublicKey


def envelope(
    body: Body, certificate: Mapping[str, Any], images: Iterable[str], configuration: Iterable[str], key: SigningKey
) -> bytes:
    """Return the signed envelope. `images` and `configuration` name files in `body`: what was judged, and by what."""
    by_name = {member.name: member for member in body.members}
    tests: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for row in certificate["requirements"]:
        kinds = _MANDATORY if row["level"] == "mandatory" else _RECOMMENDED
        if row["verdict"] in kinds:  # in-toto has no word for what is not applicable: that is in the certificate alone
            tests[kinds[row["verdict"]]].append(row["id"])
    made = {
        "_type": TYPE,
        "subject": [_descriptor(by_name[name]) for name in sorted(images)],
        "predicateType": PREDICATE,
        "predicate": {
            "result": certificate["result"],
            "configuration": [_descriptor(by_name[name]) for name in sorted(configuration)],
            "passedTests": tests["passed"],
            "warnedTests": tests["warned"],
            "failedTests": tests["failed"],
            ARCHIVE: {
                "schema": SCHEMA,
                "digest": {"sha256": body.sha256},
                "size": body.size,
                "files": [[member.name, member.size, member.sha256] for member in body.members],
            },
            CERTIFICATE: certificate,
            KEY: key.public.ssh,
        },
    }
    payload = canonical(made)
    signature = key.sign(pae(payload))
    return spelled(payload, key.public.id, signature)


def _descriptor(member: ArchiveMember) -> dict[str, Any]:
    return {"name": member.name, "digest": {"sha256": member.sha256}}


def canonical(value: object) -> bytes:
    """Return JSON in the one spelling that a reader accepts: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pae(payload: bytes) -> bytes:
    """Return what is signed of a payload: DSSE's pre-authentication encoding."""
    from securesystemslib.dsse import Envelope

    return Envelope(payload, PAYLOAD, {}).pae()


def spelled(payload: bytes, keyid: str, signature: bytes) -> bytes:
    made = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return canonical(made) + b"\n"


def read(content: bytes, name: str) -> Statement:
    """Return the statement in an envelope whose signature is good; EvidenceError names what is not.

    Who signed is for the caller to judge: the key is the one that the statement names.
    """
    try:
        given = json.loads(content)
        payload = base64.b64decode(given["payload"], validate=True)
        (row,) = given["signatures"]
        keyid, signature = row["keyid"], base64.b64decode(row["sig"], validate=True)
        again = spelled(payload, keyid, signature)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise changed(name, f"it is no envelope ({type(error).__name__})") from None
    if again != content:
        raise changed(name, "it is not spelled as it was written")
    try:
        made = json.loads(payload)
        key = public_key(made["predicate"][KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise changed(name, "it holds no statement of this harness") from None
    if keyid != key.id or not key.verifies(signature, pae(payload)):
        raise changed(name, "its signature is not good")
    return _statement(made, key, name)


def _statement(made: Any, key: PublicKey, name: str) -> Statement:
    try:
        predicate = made["predicate"]
        archive = predicate[ARCHIVE]
        if made["_type"] != TYPE or made["predicateType"] != PREDICATE or archive["schema"] != SCHEMA:
            raise EvidenceError(f"{name} is of another kind or version than this harness reads",
                                hint="harness --version says which this is; the certificate which made it")  # fmt: skip
        members = tuple(ArchiveMember(str(file), _size(size), _hex(digest)) for file, size, digest in archive["files"])
        body = Body(_hex(archive["digest"]["sha256"]), _size(archive["size"]), members)
        subjects = {row["name"]: row["digest"]["sha256"] for row in [*made["subject"], *predicate["configuration"]]}
        certificate = predicate[CERTIFICATE]
        if not isinstance(certificate, dict) or not isinstance(predicate["result"], str):
            raise TypeError("no certificate")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(
            f"{name} is signed, but not as this harness signs ({type(error).__name__}: {error})"
        ) from None
    names = [member.name for member in members]
    if len(members) > MAX_FILES or sum(member.size for member in members) > MAX_BYTES:
        raise EvidenceError(f"{name} lists more than {MAX_FILES} files, or {MAX_BYTES} bytes in all")
    if not safe(names) or names != sorted(names):
        raise EvidenceError(f"{name} lists files by names that this harness never gives")
    if unknown := set(subjects.items()) - {(member.name, member.sha256) for member in members}:
        raise EvidenceError(f"{name} speaks of {min(unknown)[0]!r}, which is not in the archive as it says")
    return Statement(body, certificate, predicate, key)


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_BYTES:
        raise ValueError("no size")
    return value


def _hex(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not _HEX.issuperset(value):
        raise ValueError("no SHA-256")
    return value
