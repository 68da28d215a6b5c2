"""OCI images made by hand, honest and hostile: layers of members that tarfile would never write."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backports import zstd

from harness.arch import Arch, by_name
from harness.oci.image import Blob, OciImage, Platform

TAR = "application/vnd.oci.image.layer.v1.tar"
REFERENCE = "registry.example/hostile:1"
CAPABILITY = (
    "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # cap_net_bind_service+ep
)


@dataclass
class M:
    """A member: `type` is tarfile's letter, `raw` overwrites bytes of its header before the checksum is made."""

    name: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    target: str = ""
    pax: dict[str, str] = field(default_factory=dict)
    device: tuple[int, int] = (0, 0)
    raw: dict[int, bytes] = field(default_factory=dict)


def d(name: str, mode: int = 0o755) -> M:
    """A folder."""
    return M(name, type=tarfile.DIRTYPE, mode=mode)


def ln(name: str, target: str) -> M:
    """A symbolic link."""
    return M(name, type=tarfile.SYMTYPE, target=target)


def hard(name: str, target: str) -> M:
    """A hardlink."""
    return M(name, type=tarfile.LNKTYPE, target=target)


def tar(*members: M) -> bytes:
    """Return the members as a tar."""
    out = io.BytesIO()
    for member in members:
        info = tarfile.TarInfo(member.name)
        info.type, info.mode, info.uid, info.gid = member.type, member.mode, member.uid, member.gid
        info.linkname, info.pax_headers, info.size = member.target, dict(member.pax), len(member.data)
        info.devmajor, info.devminor = member.device
        header = bytearray(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        for at, data in member.raw.items():
            last = len(header) - 512
            header[last + at : last + at + len(data)] = data
            header[last + 148 : last + 156] = b" " * 8
            header[last + 148 : last + 156] = b"%06o\0 " % sum(header[last : last + 512])
        out.write(header + member.data + bytes(-len(member.data) % 512))
    return out.getvalue() + bytes(1024)


def packed(data: bytes) -> bytes:
    """Gzip, the same bytes each time."""
    return gzip.compress(data, 6, mtime=0)


def image(
    folder: Path, *blobs: bytes, config: dict[str, Any] | None = None, diff_ids: Sequence[str] | None = None,
    reference: str = REFERENCE,
) -> OciImage:  # fmt: skip
    """Make an image of layers' blobs as they are, each in a file of `folder`."""
    rows = []
    for data in blobs:
        digest = hashlib.sha256(data).hexdigest()
        (folder / digest).write_bytes(data)
        rows.append(Blob(folder / digest, TAR, f"sha256:{digest}", len(data)))
    given = diff_ids if diff_ids is not None else [diff_id(data) for data in blobs]
    whole = {"rootfs": {"type": "layers", "diff_ids": list(given)}, **(config or {})}
    return OciImage(
        reference, f"sha256:{hashlib.sha256(b'').hexdigest()}", Platform("linux", "arm64"), whole, tuple(rows)
    )


def diff_id(blob: bytes) -> str:
    """Return the digest of what a blob unpacks to, as far as that goes."""
    data = blob
    if blob[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(blob)
        except (EOFError, OSError):
            data = b""
    elif blob[:4] == b"\x28\xb5\x2f\xfd":
        with contextlib.suppress(zstd.ZstdError, EOFError):
            data = zstd.decompress(blob)
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layout(folder: Path, *layers: bytes, arch: str = "arm64", tag: str = "1", **config: Any) -> Path:
    """Write an OCI image layout (image-spec, image-layout.md) for one architecture; `config` is its process's."""
    return layout_of(folder, {arch: layers}, tag, **config)


def layout_of(folder: Path, layers: dict[str, Sequence[bytes]], tag: str = "1", **config: Any) -> Path:
    """Write an OCI image layout with an index of one image an architecture."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def put_json(value: dict[str, Any]) -> dict[str, Any]:
        return put(json.dumps(value).encode(), value["mediaType"])

    rows = []
    for name, parts in layers.items():
        one: Arch = by_name(name)
        rootfs = {"type": "layers", "diff_ids": [diff_id(part) for part in parts]}
        whole = {"os": "linux", "architecture": one.oci, "rootfs": rootfs, "config": config}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": put(json.dumps(whole).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [put(part, f"{TAR}+gzip" if part[:2] == b"\x1f\x8b" else TAR) for part in parts],
        }
        rows.append({**put_json(manifest), "platform": {"os": "linux", "architecture": one.oci}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": rows}
    top = {"schemaVersion": 2, "manifests": [
        {**put_json(index), "annotations": {"org.opencontainers.image.ref.name": tag}}]}  # fmt: skip
    (folder / "index.json").write_text(json.dumps(top))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder
