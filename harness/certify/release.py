"""Who gives an image out: a signed in-toto statement about an artifact's digest, in a DSSE envelope.

https://github.com/in-toto/attestation: spec/v1 and spec/predicates/release.md (version 0.1).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from harness.certify import contents
from harness.certify.keys import PublicKey, SigningKey
from harness.certify.statement import TYPE, canonical, pae, spelled
from harness.errors import EvidenceError

PREDICATE = "https://in-toto.io/attestation/release/v0.1"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
LARGEST = 64 << 10  # bytes of an envelope


def signed(digest: str, name: str, key: SigningKey) -> bytes:
    """Return the envelope in which `key` says that the artifact of this digest (``sha256:…``) is given out as `name`.

    It says no time: the same artifact and key make the same bytes.
    """
    algorithm, _, digits = digest.partition(":")
    repository = name.rpartition("/")[2]
    made = {
        "_type": TYPE,
        "subject": [{"name": name, "digest": {algorithm: digits}}],
        "predicateType": PREDICATE,
        "predicate": {"purl": f"pkg:oci/{repository}@{algorithm}%3A{digits}"},
    }
    content = canonical(made)
    return spelled(content, key.public.id, key.sign(pae(content)))


def signer(envelope: bytes, digest: str, keys: Sequence[PublicKey]) -> PublicKey | None:
    """Return which of `keys` has signed that the artifact of this digest is given out; None where none has."""
    if len(envelope) > LARGEST:
        return None
    try:
        given = contents.loads(envelope, "the signature")
        content = base64.b64decode(given["payload"], validate=True)
        rows = [(str(row["keyid"]), base64.b64decode(row["sig"], validate=True)) for row in given["signatures"]]
        known = [(key, sig) for keyid, sig in rows for key in keys if key.id == keyid]
        found = next((key for key, sig in known if key.verifies(sig, pae(content))), None)
        if found is None:
            return None
        said = contents.loads(content, "the signature")  # not looked at before it is known who says it
        algorithm, _, digits = digest.partition(":")
        fits = said["predicateType"] == PREDICATE and said["subject"][0]["digest"] == {algorithm: digits}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, EvidenceError):
        return None
    return found if fits and len(said["subject"]) == 1 else None
