"""What strangers' images bring into a bill: attestations, digests, and words that are no names."""

from __future__ import annotations

from test_sbom import CONTENTS, DIGEST, OCI, judge, refusal
from test_sbom import image as image  # noqa: PLC0414  a fixture

from harness.image import Image
from harness.sbom import cyclonedx, spdx

ATTACHED = [
    {"digest": DIGEST, "subject": DIGEST, "kind": "application/vnd.oci.image.config.v1+json", "file": "ab.json",
     "parts": [{"digest": f"sha256:{number:064x}", "size": 9, "media_type": "application/vnd.in-toto+json",
                "predicate": predicate, "other": other, "file": f"{number:064x}.json"}
               for number, predicate, other in ((1, "https://slsa.dev/provenance/v1", False), (2, "", True))]},
    {"digest": "sha512:" + "cd" * 64, "subject": DIGEST, "kind": "application/vnd.x", "file": "cd.json", "parts": []},
]  # fmt: skip


def test_what_is_attached_to_an_image_is_named_and_what_its_packages_say_of_themselves(image: Image) -> None:
    packages = [{**CONTENTS["packages"][2], "sha256": "ab" * 32, "sha512": "cd" * 64}]
    row = {**OCI, "attached": ATTACHED, "contents": {**CONTENTS, "packages": packages}}
    texts = image.folder / "licences"
    document = spdx.document({**image.manifest, "images": [row]}, lambda name: (texts / name).read_bytes())
    judge(document)
    whole = cyclonedx.document(document)
    assert refusal(whole) is None
    (web,) = [one for one in document["packages"] if one["SPDXID"].startswith("SPDXRef-oci-")]
    assert f"{2:064x}.json, application/vnd.in-toto+json, is about another image" in web["comment"]
    parts = {one["name"]: one for one in whole["components"]}
    said = parts[OCI["reference"]]["externalReferences"]
    assert [(one["url"], one["comment"]) for one in said] == [
        (f"attestations/{1:064x}.json", "https://slsa.dev/provenance/v1"),
        (f"attestations/{2:064x}.json", "application/vnd.in-toto+json"),
        ("attestations/cd.json", "application/vnd.x"),
    ]
    assert {one["alg"] for one in said[0]["hashes"]} == {"SHA-256"}
    sums = [("SHA-256", "ab" * 32), ("SHA-512", "cd" * 64)]
    assert parts["@a/b"]["hashes"] == [{"alg": name, "content": value} for name, value in sums]


def test_what_strangers_say_of_their_packages_leaves_a_bill_valid(image: Image) -> None:
    odd = ["../../x", "a\\ud800", "a b", "@x/../y", "%41", "a?b#c", "<s>", "é", "A" * 1000, "MIT AND (", "x (y)"]
    packages = [{**CONTENTS["packages"][0], "kind": kind, "name": text, "version": text, "arch": text, "source": text,
                 "supplier": f"{text} <{text[:9]}>", "licence": text}
                for text in odd for kind in ("deb", "apk", "rpm", "npm", "pypi", "golang")]  # fmt: skip
    row = {**OCI, "contents": {"distro": {"id": "a b", "version": "../x"}, "packages": packages, "unread": odd},
           "labels": {spdx.VENDOR: "x\x1b"}}  # fmt: skip
    texts = image.folder / "licences"
    document = spdx.document({**image.manifest, "images": [row]}, lambda name: (texts / name).read_bytes())
    judge(document)
    assert refusal(cyclonedx.document(document)) is None
