"""Certificates of a cluster: one authority, and one certificate that all of its hosts have.

Dask asks both ends of a connection for a certificate of that authority, and for nothing else: who has the key is of the
cluster. The authority's own key is thrown away, so nobody can make more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import files
from harness.errors import HostError, UserError
from harness.text import of_error

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"
DAYS = 3650


def make(folder: Path) -> list[Path]:
    """Write a cluster's certificates into `folder`; UserError where there are some, HostError if it cannot be done."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    places = [folder / name for name in (AUTHORITY, CERTIFICATE, KEY)]
    if there := [path for path in places if path.exists()]:
        raise UserError(f"{there[0]} is there already", hint="name another folder: hosts that have these go on")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"harness cluster {what}")])
             for what in ("authority", "host")]  # fmt: skip
    now = datetime.now(UTC)

    def signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))  # a host whose clock is behind
            .not_valid_after(now + timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = [signed(names[0], keys[0], authority=True), signed(names[1], keys[1], authority=False), private]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in zip(places, contents, strict=True):
            files.write(path, content, mode=0o600 if path.name == KEY else 0o644)
    except OSError as error:
        raise HostError(f"cannot write to {folder}: {of_error(error)}") from None
    return places


def needed(address: str, folder: Path | None) -> dict[str, str]:
    """Return the certificates that a scheduler at `address` asks for: none on this host's loopback, in the clear.

    UserError where no folder of them is named, or one is missing.
    """
    if not address.startswith("tls://"):
        return {}
    if folder is None:
        hint = "--certificates FOLDER, which harness cluster certificates has written"
        raise UserError(f"{address} wants certificates", hint=hint)
    return found(folder)


def found(folder: Path) -> dict[str, str]:
    """Return the paths of a folder's certificates by their names; UserError where one is missing."""
    if missing := [name for name in (AUTHORITY, CERTIFICATE, KEY) if not (folder / name).is_file()]:
        hint = f"harness cluster certificates {folder} makes them; every host of the cluster needs the same"
        raise UserError(f"{folder} has no {missing[0]}", hint=hint)
    return {name: str((folder / name).absolute()) for name in (AUTHORITY, CERTIFICATE, KEY)}
