"""What servers of strangers do with a notice: too busy, endless answers, IPv6; and the headers that mail must have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_notify import FOUND, Room
from test_notify import room as room  # noqa: PLC0414  a fixture

from harness.commands.nights import notify
from harness.run.changes import RunChange
from harness.spec.models.plan import Email, Notify
from harness.spec.rules.plan import plan, server_of


class Busy(BaseHTTPRequestHandler):
    """Answers 429 at first, then 200 with a body that has no end."""

    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        self.send_response(429 if self.asked == 1 else 200)
        self.end_headers()
        try:
            while self.asked > 1:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Busy]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("NIGHT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/s3cret")
    yield Busy
    server.shutdown()
    server.server_close()


def test_too_many_requests_are_asked_again_and_an_endless_answer_is_not_read(
    busy: type[Busy], capsys: pytest.CaptureFixture[str]
) -> None:
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, [])
    assert (busy.asked, capsys.readouterr().err) == (2, "")


def test_how_long_a_server_asks_to_wait_is_heeded_within_bounds() -> None:
    assert [notify._Busy("429", text).after for text in ("7", "9999", "", "-1", "1e9", "Wed, 21 Oct", "9" * 400)] == [
        7, notify.LONGEST_S, 0, 0, 0, 0, 0]  # fmt: skip


ODD = [RunChange("worse", "a: test_\udcff\x1b[31m fails\r\nBcc: x@y"), RunChange("better", "x" * 200_000)]


def test_words_of_strangers_keep_no_notice_away(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    odd = FOUND.model_copy(update={"plan": "n\udcff\nBcc: x@y"})
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), odd, ODD)
    (heard,) = room.heard
    assert heard["changes"][0]["text"] == "a: test_\\udcff\\x1b[31m fails\\r\\nBcc: x@y"
    assert "test\\_\\udcff" in heard["text"] and len(heard["text"]) <= notify.MOST
    wanted = Email.model_validate({"to": ("a@x.example",), "from": "a@x.example", "server": "m"})
    assert "udcff" in notify.message(wanted, odd, ODD).as_bytes().decode("ascii")
    assert capsys.readouterr().err == ""


def test_nothing_in_a_notice_ends_a_run_that_is_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("s3cret")

    monkeypatch.setattr(notify, "body", broken)
    monkeypatch.setenv("NIGHT_WEBHOOK", "http://127.0.0.1:1/s3cret")
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, [])
    assert capsys.readouterr().err == "harness: warning: the webhook in NIGHT_WEBHOOK was not told: ZeroDivisionError\n"


def test_mail_has_the_headers_that_servers_ask_for() -> None:
    wanted = Email.model_validate(
        {"to": ("lab@mail.example",), "from": "The lab <harness@mail.example>", "server": "m"}
    )
    one, two = notify.message(wanted, FOUND, []), notify.message(wanted, FOUND, [])
    assert parsedate_to_datetime(one["Date"]).utcoffset() is not None
    assert one["Message-ID"] != two["Message-ID"] and one["Message-ID"].endswith("@mail.example>")
    assert (one["Auto-Submitted"], one["From"]) == ("auto-generated", "The lab <harness@mail.example>")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("mail.example", "mail.example", 0), ("mail.example:25", "mail.example", 25), ("[::1]", "::1", 0),
     ("[fe80::1]:2525", "fe80::1", 2525), ("m:0", "m", -1)],
)  # fmt: skip
def test_a_mail_server_may_have_an_ipv6_address(text: str, host: str, port: int) -> None:
    assert server_of(text) == (host, port)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("to", ("a@b\nBcc: c@d",), "is not a mail address"),
        ("to", ("A\r\nB <a@b>",), "is not a mail address"),
        ("from", "a@b\n", "is not a mail address"),
        ("server", "mail\nx", "is not a mail server"),
        ("server", "[::1]:70000", "is not a mail server"),
        ("server", "m:0", "is not a mail server"),
        ("server", "::1", "is not a mail server"),
    ],
)
def test_line_ends_and_wrong_servers_are_refused(key: str, value: object, why: str) -> None:
    email = {"to": ("a@b",), "from": "a@b", "server": "m", key: value}
    found = [one.what for one in plan({"notify": {"email": email}}, Path("x.yml"), ())]
    assert len(found) == 1 and why in found[0]
