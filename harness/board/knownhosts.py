"""The known keys of hosts, as sshd(8) has their files: names, patterns, hashed names, revoked keys, authorities."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from harness import proc
from harness.errors import HostError

SCAN_S = 30.0  # for a host to show its certificates
REVOKED, AUTHORITY = "@revoked", "@cert-authority"


@dataclass
class Known:
    """What the files say of one host; keys as SSH has them on the wire."""

    keys: list[bytes] = field(default_factory=list)
    revoked: list[bytes] = field(default_factory=list)
    authorities: list[bytes] = field(default_factory=list)


def name_of(host: str, port: int) -> str:
    """Return the name under which a host's key is known."""
    return host if port == 22 else f"[{host}]:{port}"


def known(files: Iterable[Path], name: str) -> Known:
    """Return what files say of the host called `name`; one that is not there says nothing. OSError: cannot be read.

    A line that cannot be read is left out, as OpenSSH does.
    """
    found = Known()
    for path in files:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or words[0].startswith("#") or not _matches(words[0], name):
                continue
            try:
                key = base64.b64decode(words[2], validate=True)
            except ValueError:
                continue
            rows = {"": found.keys, REVOKED: found.revoked, AUTHORITY: found.authorities}
            rows.get(marker, []).append(key)
    return found


def _matches(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in names[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), hashlib.sha1), digest)
    matched = False
    for pattern in names.lower().split(","):
        refused = pattern.startswith("!")
        # `[host]:port` has brackets of its own, which are no class of signs here
        if fnmatchcase(name.lower(), pattern.lstrip("!").replace("[", "[[]")):
            if refused:
                return False
            matched = True
    return matched


def vouched(host: str, port: int, authorities: Sequence[bytes], names: Sequence[str]) -> list[bytes]:
    """Return the keys of the certificates that a host shows and one of the authorities has signed for one of `names`.

    Whoever has such a key is the host: its certificate says so, and the connection proves that it has it. HostError
    without ssh-keyscan.
    """
    argv = ["ssh-keyscan", "-c", "-T", "10", "-p", str(port), "--", host]
    shown = proc.run(argv, timeout=SCAN_S, ok=(0, 1)).stdout.decode(errors="replace")
    # a line has the host's name before its certificate, or has not, as ssh-keyscan is of one version or another
    texts = [" ".join(line.split()[-2:]) for line in shown.splitlines() if not line.startswith("#")]
    return [key for text in texts if (key := _signed(text, authorities, names))]


def _signed(text: str, authorities: Sequence[bytes], names: Sequence[str]) -> bytes:
    """Return the key of a certificate, as OpenSSH judges one: its kind, its names, its time, its signature."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization as form

    try:
        cert = form.load_ssh_public_identity(text.encode())
        if not isinstance(cert, form.SSHCertificate) or cert.type != form.SSHCertificateType.HOST:
            return b""
        if _wire(cert.signature_key()) not in authorities or cert.critical_options:
            return b""
        if not cert.valid_after <= time.time() < cert.valid_before:
            return b""
        if not any(fnmatchcase(name, one.decode()) for one in cert.valid_principals for name in names):
            return b""
        cert.verify_cert_signature()
        return _wire(cert.public_key())
    except (ValueError, InvalidSignature, HostError):
        return b""


def _wire(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    text: bytes = key.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return base64.b64decode(text.split()[1])
