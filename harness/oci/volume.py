"""An image as an OCI layout in a volume (image-spec, image-layout.md): its blobs as they were fetched, and an index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.oci.blobs import FILE, hexadecimal
from harness.oci.document import INDEX, OciManifest, parse
from harness.oci.image import Blob, OciImage
from harness.spec.image_reference import parse as parse_reference
from harness.store import Store, file_digest
from harness.tree.tree import Slice, Tree, TreeNode, plain

REF_NAME = "org.opencontainers.image.ref.name"  # image-spec, annotations.md


def layout(images: Sequence[OciImage], store: Store) -> Tree:
    """Return the layout's files: `images` are one image for several platforms, all of their blobs in the store."""
    tree = Tree()
    rows = [_put_image(tree, image, store) for image in images]
    tag = {REF_NAME: getattr(parse_reference(images[0].reference), "tag", "") or "latest"}
    if len(rows) > 1:
        data = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": rows})
        digest = hashlib.sha256(data).hexdigest()
        tree.put(f"blobs/sha256/{digest}", plain(data))
        rows = [{"mediaType": INDEX, "digest": f"sha256:{digest}", "size": len(data)}]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**row, "annotations": tag} for row in rows]}
    tree.put("index.json", plain(_json(index)))
    tree.put("oci-layout", plain(_json({"imageLayoutVersion": "1.0.0"})))
    return tree


def _put_image(tree: Tree, image: OciImage, store: Store) -> dict[str, Any]:
    """Put an image's blobs into the tree; return its manifest's descriptor."""
    path = store.path("blobs", hexadecimal(image.digest)) / FILE
    data = path.read_bytes()
    manifest = parse(data, image.reference)
    assert isinstance(manifest, OciManifest), "an image has been fetched by it"
    config = store.path("blobs", hexadecimal(manifest.config.digest)) / FILE
    tree.put(_place(image.digest), plain(data))
    blobs = [Blob(config, manifest.config.media_type, manifest.config.digest, manifest.config.size), *image.layers]
    for blob in blobs:
        tree.put(_place(blob.digest), _file(blob))
    platform = {"os": image.platform.os, "architecture": image.platform.architecture}
    if image.platform.variant:
        platform["variant"] = image.platform.variant
    return {"mediaType": manifest.media_type, "digest": image.digest, "size": len(data), "platform": platform}


def _file(blob: Blob) -> TreeNode:
    algorithm, _, digits = blob.digest.partition(":")
    digest = digits if algorithm == "sha256" else file_digest(blob.path)
    return TreeNode(b"0", 0o644, content=Slice(blob.path, 0, blob.size), digest=digest)


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
