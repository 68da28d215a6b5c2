"""Registries on loopback: Debian's docker-registry as it is, a token server for it, and one that does as it is told."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

USER, PASSWORD, IDENTITY = "robin", "brisk-heron-42", "identity-of-robin"
ISSUER = "tests"


@dataclass(frozen=True)
class Pair:
    """A key and a certificate for loopback that it signed itself, as files."""

    key: Path
    certificate: Path


def make_pair(folder: Path, name: str) -> Pair:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(private.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    pair = Pair(folder / f"{name}.key", folder / f"{name}.crt")
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.key.write_bytes(pem)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return pair


@contextmanager
def docker_registry(folder: Path, data: Path, **more: Any) -> Iterator[str]:
    """Run Debian's docker-registry over the images in `data`; give its host:port. `more` is of its configuration."""
    http = {"addr": "127.0.0.1:0", **more.pop("http", {})}
    settings = {"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(data)}}, "http": http, **more}
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"  # JSON is YAML, too
    config.write_text(json.dumps(settings))
    log = (folder / "log").open("w+")
    server = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "docker-registry", "serve", str(config)], stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield _address(server, folder / "log")
    finally:
        server.terminate()
        server.wait()
        log.close()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    while server.poll() is None:
        _, found, rest = log.read_text().partition("listening on ")
        if found and '"' in rest:
            return rest.partition('"')[0].partition(",")[0]
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def skopeo(*arguments: str) -> None:
    done = subprocess.run(["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def push(layout: Path, host: str, name: str, tag: str = "1") -> None:
    """Copy an image of all its platforms from an OCI layout to a registry, as skopeo does it."""
    skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"oci:{layout}:{tag}",
        f"docker://{host}/{name}",
    )


def htpasswd(path: Path) -> dict[str, Any]:
    """Write the file of users; return the registry's setting."""
    path.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return {"htpasswd": {"realm": "tests", "path": str(path)}}


def lacks_programs() -> str:
    return " ".join(name for name in ("docker-registry", "skopeo") if shutil.which(name) is None)


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The query's or the form's fields."""
        return {name: values[0] for name, values in parse_qs(self.body or urlsplit(self.path).query).items()}


@dataclass
class Reply:
    """An answer; `pause` is seconds before the body, `size` what Content-Length says, `slow` seconds between bytes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    pause: float = 0
    slow: float = 0


class Server:
    """A web server that answers with what `answer` returns, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Seen], Reply], pair: Pair | None = None) -> None:
        self.seen: list[Seen] = []
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._serve(self, answer)

            do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _serve(self, handler: BaseHTTPRequestHandler, answer: Callable[[Seen], Reply]) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        seen = Seen(
            handler.command, handler.path, dict(handler.headers), handler.rfile.read(length).decode(errors="replace")
        )
        self.seen.append(seen)
        reply = answer(seen)
        self._closing.wait(reply.pause)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body) if reply.size is None else reply.size))
        handler.end_headers()
        if reply.slow:
            for byte in reply.body:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                if self._closing.wait(reply.slow):
                    break
        else:
            handler.wfile.write(reply.body)
        if reply.size is not None:
            handler.close_connection = True

    def asked(self, part: str) -> list[Seen]:
        """Return the requests whose path has `part`."""
        return [one for one in self.seen if part in one.path]

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


class TokenServer:
    """Gives tokens that docker-registry believes (its token authentication specification)."""

    def __init__(self, folder: Path, *, anonymous: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pair = make_pair(folder, "tokens")
        self.anonymous = anonymous
        self.lives = [300] * 100  # seconds that the next token lives, and the one after it
        self._given = iter(self.lives)
        self.server = Server(self._answer)

    @property
    def setting(self) -> dict[str, Any]:
        """The registry's setting."""
        realm = f"http://{self.server.host}/token"
        return {
            "token": {"realm": realm, "service": "registry of tests", "issuer": ISSUER,
                      "rootcertbundle": str(self.pair.certificate)}
        }  # fmt: skip

    def _answer(self, seen: Seen) -> Reply:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = seen.headers.get("Authorization") == f"Basic {login}" or (
            seen.method == "POST"
            and seen.fields.get("grant_type") == "refresh_token"
            and seen.fields.get("refresh_token") == IDENTITY
            and seen.fields.get("client_id", "") != ""
        )
        if not known and not self.anonymous:
            return Reply(401, b'{"details": "incorrect username or password"}')
        name = "access_token" if seen.method == "POST" else "token"
        return Reply(body=json.dumps({name: self._token(seen.fields)}).encode())

    def _token(self, fields: dict[str, str]) -> str:
        kind, name, actions = fields["scope"].split(":")
        now, key = int(time.time()), serialization.load_pem_private_key(self.pair.key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        life = next(self._given)
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {"iss": ISSUER, "sub": USER, "aud": fields["service"], "jti": str(now), "iat": now, "nbf": now - 600,
                  "exp": now + life, "access": access}  # fmt: skip
        signed = ".".join(_base64(json.dumps(part)) for part in ({"typ": "JWT", "alg": "ES256", "x5c": [der]}, claims))
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


Fault = Callable[[Seen, Reply], Reply]


class Liar(Server):
    """Serves the images of an OCI layout as a registry, with faults: each spoils one answer whose path has its word."""

    def __init__(self, layout: Path, pair: Pair | None = None) -> None:
        self.layout = layout
        self.faults: list[tuple[str, Fault]] = []
        self.challenge = ""  # to whoever gives no authorization
        self._lock = threading.Lock()
        super().__init__(self._honest_or_not, pair)

    def spoil(self, word: str, fault: Fault, times: int = 1) -> None:
        """Let the next answers to paths that have `word` be spoilt."""
        self.faults += [(word, fault)] * times

    def _honest_or_not(self, seen: Seen) -> Reply:
        if self.challenge and "Authorization" not in seen.headers:
            return Reply(401, headers={"WWW-Authenticate": self.challenge})
        reply = self.honest(seen)
        with self._lock:
            found = next((one for one in self.faults if one[0] in seen.path), None)
            if found:
                self.faults.remove(found)
        # outside, for one fault may wait for another
        return found[1](seen, reply) if found else reply

    def honest(self, seen: Seen) -> Reply:
        """Answer as a registry does."""
        kind, _, wanted = seen.path.rpartition("/")
        if seen.path == "/v2/":
            return Reply()
        digest = wanted
        if not wanted.startswith("sha256:"):
            entries = json.loads((self.layout / "index.json").read_text())["manifests"]
            digest = next((one["digest"] for one in entries if wanted in one.get("annotations", {}).values()),
                          "sha256:none")  # fmt: skip
        path = self.layout / "blobs" / digest.replace(":", "/")
        if not path.is_file() or not kind.startswith("/v2/app") or "/referrers" in kind:
            return Reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        data = path.read_bytes()
        start = int(seen.headers.get("Range", "bytes=0-")[6:-1])
        if "Range" in seen.headers:
            return Reply(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        return Reply(200, data)
