"""HTTP to one registry: its scheme and certificates, redirects, and every failure as a RegistryError."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic, time

import httpx2
from httpx2 import URL

from harness.errors import UserError
from harness.oci.registries import RegistryPlace
from harness.oci.trouble import FailureKind, RegistryError, failed, kind_of, words
from harness.patience import Patience
from harness.text import of_error

REDIRECTS = 5
# what is packed has a digest of its own: it comes as it is
HEADERS = {"User-Agent": "bootharness", "Accept-Encoding": "identity"}
_HOST = re.compile(r"[\w.:-]+")
Content = bytes | Iterator[bytes]
SLOWEST = 1000  # bytes a second: one that sends less for long does not answer
# containers-certs.d(5); a folder HOST[:PORT] in one of them holds *.crt (authorities), *.cert and *.key (ours)
CERTIFICATES = (".config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d")


class RegistryTransport:
    """Requests to one registry and to where it sends us; safe to use from several threads."""

    def __init__(self, place: RegistryPlace, patience: Patience) -> None:
        self.place = place
        self._patience = patience
        self._client = httpx2.Client(
            verify=_verify(place), timeout=patience.timeout, headers=HEADERS, follow_redirects=False,
            mounts=_unproxied(place),
        )  # fmt: skip
        self._lock = threading.Lock()
        self._base: URL | None = None

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    @property
    def base(self) -> URL:
        """The registry's URL: of HTTPS, or of HTTP where an insecure one speaks nothing else."""
        with self._lock:
            if self._base is None:
                self._base = self._find_base()
            return self._base

    def _find_base(self) -> URL:
        base = URL(f"https://{self.place.host}")
        if not self.place.insecure and not self.place.loopback:
            return base
        try:
            with self._client.stream("GET", base.join("/v2/")):
                return base
        except httpx2.TransportError as error:
            # one whose certificate is not the right one speaks TLS: whoever asks is told
            return base if _untrusted(error) else URL(f"http://{self.place.host}")

    @contextmanager
    def get(self, url: URL, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Give the answer, after redirects, to be read by `chunks`.

        The authorization goes nowhere but to the host that is asked first. Raises RegistryError when none comes.
        """
        response = self._follow(url, dict(headers))
        try:
            yield response
        finally:
            response.close()

    def _follow(self, url: URL, headers: dict[str, str]) -> httpx2.Response:
        for _ in range(REDIRECTS + 1):
            with self._told():
                response = self._client.send(self._client.build_request("GET", url, headers=headers), stream=True)
            if not response.has_redirect_location:
                return response
            response.close()
            target = join(self.place, url, response.headers["Location"])
            if url.scheme == "https" and target.scheme == "http":
                raise failed(self.place, "odd", details="it redirects to where nothing is encrypted")
            if _origin(target) != _origin(url):
                headers.pop("Authorization", None)
            url = target
        raise failed(self.place, "odd", details=f"it redirects more than {REDIRECTS} times")

    def send(self, method: str, url: URL, headers: Mapping[str, str], content: Content = b"") -> httpx2.Response:
        """Return the answer to a request that may write, to be closed; it is not sent on to elsewhere.

        Raises RegistryError when none comes.
        """
        with self._told():
            request = self._client.build_request(method, url, headers=dict(headers), content=content)
            return self._client.send(request, stream=True)

    def ask(self, url: URL, fields: Mapping[str, str], form: bool, headers: Mapping[str, str], limit: int) -> bytes:
        """Return at most `limit` bytes of what a token server answers. Raises RegistryError."""
        method = "POST" if form else "GET"
        data, params = (dict(fields), None) if form else (None, url.params.merge(fields))
        with self._told():
            request = self._client.build_request(method, url, data=data, params=params, headers=headers)
            response = self._client.send(request, stream=True)
        try:
            if not response.is_success:
                kind = kind_of(response.status_code)
                raise self._refused(response, "odd" if kind == "absent" else kind, "its token server: ")
            return self.read(response, limit)
        finally:
            response.close()

    def read(self, response: httpx2.Response, limit: int) -> bytes:
        """Return what `response` holds. Raises RegistryError when that is more than `limit` bytes."""
        data = bytearray()
        for chunk in self.chunks(response):
            data += chunk
            if len(data) > limit:
                raise failed(self.place, "odd", details=f"it sends more than {limit} bytes where it must not")
        return bytes(data)

    def chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        """Give the body as it comes. Raises RegistryError when it breaks off or trickles."""
        began, size = monotonic(), 0
        with self._told():
            for chunk in response.iter_raw():
                size += len(chunk)
                yield chunk
                taken = monotonic() - began
                if taken > 3 * self._patience.timeout and size < SLOWEST * taken:
                    raise failed(self.place, "silent", details=f"{size} bytes came in {taken:.0f} s")

    def refused(self, response: httpx2.Response) -> RegistryError:
        """Return the error for an answer that is none."""
        return self._refused(response, kind_of(response.status_code))

    def _refused(self, response: httpx2.Response, kind: FailureKind, who: str = "") -> RegistryError:
        with self._told():
            said = words(next(response.iter_raw(300), b""))
        after = _after(response.headers.get("Retry-After")) if kind in ("busy", "failing") else None
        return failed(self.place, kind, details=f"{who}HTTP status {response.status_code} {said}".rstrip(), after=after)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            kind: FailureKind = "silent" if isinstance(error, httpx2.TransportError) else "odd"
            if _untrusted(error):
                kind = "untrusted"
            raise failed(self.place, kind, details=words(str(error).encode())) from error


def join(place: RegistryPlace, base: URL, target: str) -> URL:
    """Return the URL that a registry sends us to from `base`. RegistryError when it is none of HTTP."""
    try:
        url = base.join(target)
        scheme, _ = url.scheme, url.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise failed(place, "odd", details=f"it leads to no URL: {words(str(error).encode())}") from None
    if not target or scheme not in ("https", "http") or not _HOST.fullmatch(url.host):
        raise failed(place, "odd", details="it leads to no URL of HTTP")
    return url


def _origin(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def _unproxied(place: RegistryPlace) -> dict[str, None] | None:
    """Return what keeps requests to this machine from a proxy, for which it is another one (as Go, curl and Docker)."""
    return {f"all://{URL(f'http://{place.host}').netloc.decode()}": None} if place.loopback else None


def _verify(place: RegistryPlace) -> ssl.SSLContext | bool:
    folders = [Path.home() / folder / place.host for folder in CERTIFICATES]
    folder = next((one for one in folders if one.is_dir()), None)
    if folder is None:
        return not (place.insecure or place.loopback)
    context = ssl.create_default_context()
    authorities = sorted(folder.glob("*.crt"))
    for path in (*authorities, *sorted(folder.glob("*.cert"))):
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            else:
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            hint = "a certificate as PEM; X.cert needs X.key beside it"
            raise UserError(f"{path} cannot be used: {of_error(error)}", hint=hint) from None
    if place.insecure or (place.loopback and not authorities):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
