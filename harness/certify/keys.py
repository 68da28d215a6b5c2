"""Who signs: Ed25519 keys from a file or an SSH agent. A public key is one line as OpenSSH writes it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HostError, UserError

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

AGENT = "agent"
KIND = "ssh-ed25519"
MAX_KEY = 64 << 10  # bytes of a key's file
_RAW = 32  # bytes of an Ed25519 public key
_HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0 "  # of its SSH encoding, RFC 8709


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 bytes."""

    raw: bytes

    @property
    def id(self) -> str:
        """Its fingerprint, as ``ssh-keygen -l`` shows it."""
        import hashlib

        digest = hashlib.sha256(_HEAD + self.raw).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def ssh(self) -> str:
        """Its line as OpenSSH writes it, without a comment."""
        return f"{KIND} {base64.b64encode(_HEAD + self.raw).decode()}"

    @property
    def _key(self) -> SSlibKey:
        from securesystemslib.signer import SSlibKey

        return SSlibKey(self.id, "ed25519", "ed25519", {"public": self.raw.hex()})

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Say whether `signature` is this key's of `data`."""
        from securesystemslib.exceptions import UnverifiedSignatureError
        from securesystemslib.signer import Signature

        try:
            self._key.verify_signature(Signature(self.id, signature.hex()), data)
        except UnverifiedSignatureError:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A key that signs: its public half, and what makes 64 bytes of signature."""

    public: PublicKey
    sign: Callable[[bytes], bytes]


def public_key(line: str) -> PublicKey:
    """Return the key in a line as OpenSSH writes it; ValueError when it is not an Ed25519 key."""
    words = line.split()
    if len(words) < 2 or words[0] != KIND:
        raise ValueError(f"no {KIND} key")
    blob = base64.b64decode(words[1], validate=True)
    if len(blob) != len(_HEAD) + _RAW or not blob.startswith(_HEAD):
        raise ValueError(f"no {KIND} key")
    return PublicKey(blob[len(_HEAD) :])


def trusted(path: Path) -> list[PublicKey]:
    """Return the public keys in a file, one a line (# begins a comment); UserError when there is none."""
    lines = _content(path).decode(errors="replace").splitlines()
    try:
        found = [public_key(line) for line in lines if line.strip() and not line.startswith("#")]
    except ValueError as error:
        raise UserError(f"{path} is not a list of public keys: {error}", hint=f"lines as '{KIND} AAAA…'") from None
    if not found:
        raise UserError(f"{path} holds no public key", hint=f"lines as '{KIND} AAAA…'")
    return found


def make(path: Path) -> PublicKey:
    """Write a new private key to `path` (mode 0600) and its public half beside it (.pub); UserError: one exists."""
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner.generate_ed25519()
    public = PublicKey(bytes.fromhex(signer.public_key.keyval["public"]))
    beside = path.with_name(f"{path.name}.pub")
    try:
        if beside.exists():  # it may be the half of a key that lies elsewhere
            raise FileExistsError(0, "", str(beside))
        for place, mode, content in ((path, 0o600, signer.private_bytes), (beside, 0o644, f"{public.ssh}\n".encode())):
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
    except FileExistsError as error:
        raise UserError(
            f"{error.filename} is there already", hint="a new name: a key that is lost cannot be made again"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return public


def is_key(path: Path) -> bool:
    """Say whether a file looks like a key, private or public."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError:
        return False
    return start.startswith((b"-----BEGIN ", b"ssh-"))


def load(source: str) -> SigningKey:
    """Return the key in a file (PKCS #8 or OpenSSH, no password), or an SSH agent's: ``agent``, ``agent:FINGERPRINT``.

    UserError when it is none, HostError when no agent has it.
    """
    kind, _, wanted = source.partition(":")
    return _of_agent(wanted) if kind == AGENT else _of_file(Path(source))


def _of_file(path: Path) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
    from securesystemslib.signer import CryptoSigner

    content = _content(path)
    parse = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        private = parse(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if content.startswith((b"ssh-", b"-----BEGIN PUBLIC")):
            own = path.with_suffix("") if path.suffix == ".pub" else "the file without .pub"
            raise UserError(f"{path} is a public key", hint=f"the private one signs: --key {own}") from None
        hint = f"put one with a password into an SSH agent: --key {AGENT}; harness certify --new-key FILE makes one"
        raise UserError(f"{path} holds no private key that can be read: {error}", hint=hint) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UserError(f"{path} is not an Ed25519 key", hint="harness certify --new-key FILE makes one")
    signer = CryptoSigner(private)
    public = PublicKey(bytes.fromhex(signer.public_key.keyval["public"]))
    return SigningKey(public, lambda data: bytes.fromhex(signer.sign(data).signature))


def _of_agent(wanted: str) -> SigningKey:
    import paramiko

    try:
        found = [key for key in paramiko.Agent().get_keys() if key.get_name() == KIND]
    except paramiko.SSHException as error:
        raise HostError(f"the SSH agent does not answer: {error}", hint="ssh-add -l") from error
    keys = {PublicKey(key.asbytes()[-_RAW:]): key for key in found}
    chosen = [public for public in keys if wanted in ("", public.id, public.id.removeprefix("SHA256:"))]
    if len(chosen) != 1:
        what = f"no {KIND} key {wanted}".rstrip() if not chosen else f"{len(chosen)} keys of this kind"
        raise HostError(f"the SSH agent has {what}", hint=f"ssh-add -l; --key {AGENT}:SHA256:… names one of several")
    key = keys[chosen[0]]
    # an SSH signature is its kind and its bytes, each after its length
    return SigningKey(chosen[0], lambda data: bytes(key.sign_ssh_data(data))[-64:])


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_KEY + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_KEY:
        raise UserError(f"{path} is not a key: it has more than {MAX_KEY} bytes")
    return content
