"""A small signed Debian repository served over loopback, with faults on demand."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import subprocess
import tarfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

SUITE = "bookworm"
ARCHES = ("amd64", "arm64", "s390x")


@dataclass(frozen=True)
class Item:
    """One member of a package's data."""

    path: str
    data: bytes = b""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    target: str = ""
    uid: int = 0


def make_deb(items: Sequence[Item], *, data: bytes | None = None) -> bytes:
    """Build a .deb from members, or around the given data.tar.xz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.type, info.mode, info.size, info.linkname = item.type, item.mode, len(item.data), item.target
            info.uid = item.uid
            archive.addfile(info, io.BytesIO(item.data))
    packed = lzma.compress(out.getvalue(), preset=0) if data is None else data
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(b"")), ("data.tar.xz", packed)]
    raw = b"!<arch>\n"
    for name, content in members:
        raw += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        raw += content + b"\n" * (len(content) % 2)
    return raw


@dataclass
class Repository:
    """A folder laid out as a mirror, signed by its own key."""

    root: Path
    packages: dict[str, str] = field(default_factory=dict)  # pool path -> paragraph

    @property
    def key(self) -> Path:
        return self.root.parent / "key.gpg"

    @property
    def _gnupg(self) -> Path:
        return self.root.parent / "gnupg"

    def _gpg(self, *words: str) -> None:
        argv = ["gpg", "--batch", "--yes", "--quiet", "--homedir", str(self._gnupg), "--passphrase", "", *words]
        subprocess.run(argv, check=True, capture_output=True)

    def make_key(self) -> None:
        self._gnupg.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._gpg("--pinentry-mode", "loopback", "--quick-gen-key", "mirror@test.invalid", "rsa2048", "sign", "never")
        self._gpg("--output", str(self.key), "--export")

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._gnupg), "--kill", "all"], check=False)

    def add(self, name: str, version: str, items: Sequence[Item], arch: str = "all", **fields: str) -> str:
        """Put a package into the pool and the index (older versions stay in the pool); return its pool path."""
        return self.add_deb(name, version, make_deb(items), arch, **fields)

    def add_deb(self, name: str, version: str, deb: bytes, arch: str = "all", **fields: str) -> str:
        """Put a ready .deb into the pool and the index."""
        path = f"pool/main/{name[0]}/{name}/{name}_{version.partition(':')[2] or version}_{arch}.deb"
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(deb)
        rows = {
            "Package": name,
            "Version": version,
            "Architecture": arch,
            "Maintainer": "Nobody <nobody@test.invalid>",
            "Filename": path,
            "Size": str(len(deb)),
            "SHA256": hashlib.sha256(deb).hexdigest(),
            "Description": "a package of a test",
        }
        rows |= {key.replace("_", "-"): value for key, value in fields.items()}
        self.packages = {old: text for old, text in self.packages.items() if f"Package: {name}\n" not in text}
        self.packages[path] = "".join(f"{key}: {value}\n" for key, value in rows.items())
        return path

    def publish(self, *, signed: bool = True) -> None:
        """Write and sign the indexes."""
        dists = self.root / "dists" / SUITE
        rows = []
        for arch in ARCHES:
            fitting = [
                text for text in self.packages.values() if re.search(f"^Architecture: ({arch}|all)$", text, re.M)
            ]
            index = dists / "main" / f"binary-{arch}" / "Packages"
            index.parent.mkdir(parents=True, exist_ok=True)
            index.write_text("\n".join(fitting))
            data = index.read_bytes()
            rows.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{arch}/Packages\n")
        head = f"Origin: Test\nSuite: {SUITE}\nCodename: {SUITE}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        release = f"{head}Architectures: {' '.join(ARCHES)}\nComponents: main\nSHA256:\n{''.join(rows)}"
        (dists / "Release").write_text(release)
        (dists / "InRelease").unlink(missing_ok=True)
        if signed:
            self._gpg("--clearsign", "--output", str(dists / "InRelease"), str(dists / "Release"))


class Mirror:
    """Serves a repository. `faults`: path pattern -> what happens to its next requests, in order.

    A fault is an HTTP status ("404"), "truncate", "corrupt", "hang" or "reset"; when the list is empty all is well,
    and a list that ends in "…" repeats what stands before it for ever.
    """

    def __init__(self, root: Path) -> None:
        self.faults: dict[str, list[str]] = {}
        self.requests: list[str] = []
        self.hanging = threading.Event()  # a request is being left without an answer
        self._release = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                mirror._answer(self, root)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, pattern: str) -> int:
        return sum(re.search(pattern, path) is not None for path in self.requests)

    def _fault(self, path: str) -> str:
        for pattern, faults in self.faults.items():
            if faults and re.search(pattern, path):
                return faults[0] if faults[1:] == ["…"] else faults.pop(0)
        return ""

    def _answer(self, handler: BaseHTTPRequestHandler, root: Path) -> None:
        path = unquote(handler.path)
        self.requests.append(path)
        fault = self._fault(path)
        source = root / path.lstrip("/")
        if fault == "hang":
            self.hanging.set()
            self._release.wait(30)
            handler.close_connection = True
            return
        if fault == "reset":
            handler.close_connection = True
            return
        if fault.isdigit() or not source.is_file():
            handler.send_error(int(fault) if fault.isdigit() else 404)
            return
        data = source.read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if fault == "truncate":
            handler.wfile.write(data[: len(data) // 2])
            handler.close_connection = True
            return
        if fault == "corrupt":
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        handler.wfile.write(data)
