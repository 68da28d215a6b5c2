"""Power by HTTP requests; also the client that other switches of the web use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.board.connection import secret
from harness.board.power.command import limit_s
from harness.board.programs import located
from harness.errors import MachineError, UserError
from harness.spec.models.power import PowerHttp
from harness.text import of_error, one_line

if TYPE_CHECKING:
    from httpx2 import Response

TIMEOUT_S = 20.0  # at most, for each of a request's steps
MOST_ANSWER = 1 << 20  # bytes
WORDS = 200  # characters of a refusal that are shown


def put(spec: PowerHttp, base: Path, on: bool) -> None:
    """Send the request; MachineError when it is not accepted."""
    url, body = (spec.on, spec.on_body) if on else (spec.off, spec.off_body)
    headers = {"Content-Type": spec.content_type} if body else {}
    if token := secret(spec.token_env, url):
        headers["Authorization"] = f"Bearer {token}"
    ask(spec.method, url, login=(spec.user, secret(spec.password_env, spec.user)), headers=headers, body=body.encode())


def get(spec: PowerHttp, base: Path) -> bool | None:
    """Such a switch cannot be asked."""
    return None


def ask(
    method: str,
    url: str,
    *,
    login: tuple[str, str | None] = ("", None),
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    ca: Path | None = None,
) -> Response:
    """Send one request and return its answer, of at most 1 MiB; redirects are not followed.

    MachineError when nobody answers, or with a status of 400 and more.
    """
    import httpx2

    user, password = login
    with httpx2.Client(verify=_trust(ca), timeout=min(TIMEOUT_S, limit_s.get()), trust_env=False) as client:
        try:
            request = client.build_request(method, url, headers=dict(headers or {}), content=body or None)
            response = client.send(request, auth=(user, password or "") if user else None, stream=True)
            answer = bytearray()
            for piece in response.iter_bytes():
                answer += piece
                if len(answer) > MOST_ANSWER:
                    raise MachineError(f"{_place(url)} answers more than {MOST_ANSWER >> 20} MiB")
            response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise MachineError(f"{_place(url)} does not answer: {error or type(error).__name__}") from error
    whole = httpx2.Response(response.status_code, headers=_plain(response.headers), content=bytes(answer))
    if whole.status_code >= 400:
        said = one_line(whole.text.strip(), WORDS)
        hint = "see the user and its secret's variable in the YAML" if whole.status_code in (401, 403) else ""
        raise MachineError(f"{_place(url)} refuses with status {whole.status_code}", details=said, hint=hint)
    return whole


def _plain(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the headers that still count once the body has been unpacked."""
    return {key: value for key, value in headers.items() if key.lower() not in ("content-encoding", "content-length")}


def _trust(ca: Path | None) -> Any:
    import ssl

    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise UserError(f"cannot read the certificates {ca}: {of_error(error)}") from error


def _place(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def trusted(ca: str, base: Path) -> Path | None:
    """Return the file of certificates that the YAML names, None for the host's own."""
    return located(ca, base) if ca else None
