"""What is signed: an in-toto statement of a test's result, in a DSSE envelope.

https://github.com/in-toto/attestation: spec/v1 and spec/predicates/test-result.md (version 0.1);
https://github.com/secure-systems-lab/dsse. Names of extension fields begin with ``bootharness_``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.certify import contents, maker
from harness.certify.archive import Body, changed, safe
from harness.certify.contents import MAX_BYTES, ArchiveMember
from harness.certify.keys import PublicKey, SigningKey, public_key
from harness.errors import EvidenceError, OtherVersionError

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD = "application/vnd.in-toto+json"
ARCHIVE, KEY, CERTIFICATE = "bootharness_archive", "bootharness_public_key", "bootharness_certificate"
SCHEMA = 2
# What an image was judged by, by the first part of the files' names.
CONFIGURATION = (contents.SPEC, contents.MACHINE, contents.PROFILE, contents.CASES, contents.WAIVERS)
_MANDATORY = {"passed": "passed", "failed": "failed", "not run": "failed", "waived": "warned"}
_RECOMMENDED = _MANDATORY | {"failed": "warned", "not run": "warned"}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Statement:
    """A statement that has been read: the second frame it speaks of, the certificate's content, and who signed it."""

    body: Body
    certificate: dict[str, Any]
    key: PublicKey
    signed: bytes


def envelope(body: Body, certificate: Mapping[str, Any], key: SigningKey) -> bytes:
    """Return the signed envelope of a certificate and the second frame that it is about."""
    signed = payload(body, certificate, key.public)
    return spelled(signed, key.public.id, key.sign(pae(signed)))


def payload(body: Body, certificate: Mapping[str, Any], public: PublicKey) -> bytes:
    """Return what is signed: every word of it follows from the certificate, the files and the key."""
    tests: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for row in certificate["requirements"]:
        kinds = _MANDATORY if row["level"] == "mandatory" else _RECOMMENDED
        if row["verdict"] in kinds:  # in-toto has no word for what is not applicable: that is in the certificate alone
            tests[kinds[row["verdict"]]].append(row["id"])
    folders = [(member, member.name.partition("/")[0]) for member in body.members]
    made = {
        "_type": TYPE,
        "subject": [_descriptor(member) for member, folder in folders if folder == contents.IMAGE],
        "predicateType": PREDICATE,
        "predicate": {
            "result": certificate["result"],
            "configuration": [_descriptor(member) for member, folder in folders if folder in CONFIGURATION],
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
            KEY: public.ssh,
        },
    }
    return canonical(made)


def _descriptor(member: ArchiveMember) -> dict[str, Any]:
    return {"name": member.name, "digest": {"sha256": member.sha256}}


def canonical(value: object) -> bytes:
    """Return JSON in the one spelling that a reader accepts: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def pae(content: bytes) -> bytes:
    """Return what is signed of a payload: DSSE's pre-authentication encoding."""
    from securesystemslib.dsse import Envelope

    return Envelope(content, PAYLOAD, {}).pae()


def spelled(content: bytes, keyid: str, signature: bytes) -> bytes:
    """Return an envelope in the one spelling that a reader accepts."""
    made = {
        "payload": base64.b64encode(content).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return canonical(made) + b"\n"


def read(content: bytes, name: str, trusted: Sequence[PublicKey] = ()) -> Statement:
    """Return the statement in an envelope whose signature is good; EvidenceError names what is not.

    With `trusted` keys, nothing of what was signed is looked at before one of them is found to have signed it.
    """
    try:
        given = contents.loads(content, name)
        signed = base64.b64decode(given["payload"], validate=True)
        (row,) = given["signatures"]
        keyid, signature = row["keyid"], base64.b64decode(row["sig"], validate=True)
        again = spelled(signed, keyid, signature)
    except (ValueError, KeyError, TypeError, RecursionError, EvidenceError) as error:
        raise changed(name, f"it is not an envelope ({type(error).__name__})") from None
    if again != content:
        raise changed(name, "it is not spelled as it was written")
    known = next((key for key in trusted if key.id == keyid), None)
    if trusted and known is None:
        raise EvidenceError(f"it was signed by {str(keyid)[:100]}, whom you do not trust",
                            details="\n".join(f"trusted: {one.id}" for one in trusted))  # fmt: skip
    if known is not None:
        _good(known, signature, signed, name)
    try:
        made = contents.loads(signed, name)
        key = public_key(made["predicate"][KEY])
    except (ValueError, KeyError, TypeError, AttributeError, EvidenceError):
        raise changed(name, "it holds no statement of this harness") from None
    if keyid != key.id:
        raise changed(name, "its signature is not good")
    if known is None:
        _good(key, signature, signed, name)
    return _statement(made, key, signed, name)


def _good(key: PublicKey, signature: bytes, signed: bytes, name: str) -> None:
    if not key.verifies(signature, pae(signed)):
        raise changed(name, "its signature is not good")


def _statement(made: Any, key: PublicKey, signed: bytes, name: str) -> Statement:
    said = ""
    try:
        predicate = made["predicate"]
        archive = predicate[ARCHIVE]
        if isinstance(predicate.get(CERTIFICATE), dict):
            said = maker.said(predicate[CERTIFICATE])
        if made["_type"] != TYPE or made["predicateType"] != PREDICATE or archive["schema"] != SCHEMA:
            raise _unread(name, "is of another kind or schema than this harness reads", said, another=True)
        members = tuple(ArchiveMember(str(file), _size(size), _hex(digest)) for file, size, digest in archive["files"])
        body = Body(_hex(archive["digest"]["sha256"]), _size(archive["size"]), members)
        certificate = predicate[CERTIFICATE]
        if not isinstance(certificate, dict):
            raise TypeError("no certificate")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        why = f"is signed, but not as this harness signs ({type(error).__name__}: {str(error)[:200]})"
        raise _unread(name, why, said) from None
    names = [member.name for member in members]
    if not safe(names) or names != sorted(names):
        raise _unread(name, "lists files by names that this harness never gives", said)
    if why := contents.refusal(members, body.size):
        raise _unread(name, f"lists {why}", said)
    return Statement(body, certificate, key, signed)


def _unread(name: str, why: str, said: str, *, another: bool = False) -> EvidenceError:
    """Return the error of what this harness does not write: where another version has made it, that is no lie."""
    if not (another or maker.is_other_version(said)):
        return EvidenceError(f"{name} {why}")
    who = f"harness {said}" if said else "another version of the harness"
    return OtherVersionError(
        f"{name} {why}: it says that {who} made it, and this is {maker.own()}",
        hint="that one reads it; harness --version says which a harness is",
    )


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_BYTES:
        raise ValueError("no size")
    return value


def _hex(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not _HEX.issuperset(value):
        raise ValueError("no SHA-256")
    return value
