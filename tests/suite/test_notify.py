"""Who is told how a run ended, by a real HTTP server and a real mail server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP

from harness.commands.nights import notify
from harness.errors import UserError
from harness.run import results
from harness.run.changes import RunChange
from harness.spec import load_plan
from harness.spec.models.plan import Email, Notify

RUN = {"event": "run", "harness": "1", "when": "2026-11-24T06:00:00Z", "run": "u", "plan": "night.yml", "source": None}
CELL = {"id": "a", "image": "a.yml", "machine": "m", "arch": "arm64", "problem": "", "budget": {}}
CASE = {"event": "case", "cell": "a", "case": "t.py::test_x[a]", "outcome": "failed", "message": "so it is"}
FOUND = results.fold([{**RUN, "cells": [CELL]}, {"event": "collected", "cases": {"a": 1}}, CASE,
                      {"event": "end", "interrupted": False, "code": 1}])  # fmt: skip
CHANGED = [RunChange("worse", "a: test_x fails now")]


class Room:
    """A chat room's webhook: answers with the given codes in order, then with the last."""

    def __init__(self) -> None:
        self.codes = [200]
        self.heard: list[dict[str, Any]] = []
        room = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                room.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(room.codes.pop(0) if len(room.codes) > 1 else room.codes[0])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cret"


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    made = Room()
    monkeypatch.setenv("NIGHT_WEBHOOK", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_webhook_gets_the_summary_and_the_change(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
    (heard,) = room.heard
    assert "1 product failure" in heard["text"]
    assert (heard["exit"], heard["outcome"]) == (1, "failed")
    assert heard["cells"] == {"a": "failed"}
    assert heard["changes"] == [{"kind": "worse", "text": "a: test_x fails now"}]
    assert capsys.readouterr().err == ""


def test_a_busy_webhook_is_asked_again(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.codes = [503, 200]
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
    assert len(room.heard) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_what_cannot_be_sent_is_a_warning_without_the_secret(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.codes = [404]
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
    assert "the webhook in NIGHT_WEBHOOK answers 404" in capsys.readouterr().err
    for url in ("http://127.0.0.1:1/s3cret", "no-url s3cret", "ftp://s3cret"):
        monkeypatch.setenv("NIGHT_WEBHOOK", url)
        notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
        said = capsys.readouterr().err
        assert "cannot be reached" in said
        assert "s3cret" not in said
    monkeypatch.delenv("NIGHT_WEBHOOK")
    notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
    assert "NIGHT_WEBHOOK, which is not set" in capsys.readouterr().err


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "])
def test_a_server_that_never_comes_to_an_end_keeps_no_night(
    said: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as line, suppress(OSError):
            line.sendall(said)
            while not done.wait(0.05):
                line.sendall(b"x" * bool(said))

    monkeypatch.setattr(notify, "LIMIT_S", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        where = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("NIGHT_WEBHOOK", f"http://{where}/s3cret")
        try:
            notify.send(Notify(webhook_env="NIGHT_WEBHOOK"), FOUND, CHANGED)
        finally:
            done.set()
            thread.join()
    told = capsys.readouterr().err
    assert told == "harness: warning: the webhook in NIGHT_WEBHOOK has not answered within 0.6 s\n"


@contextmanager
def mailbox(got: list[Any]) -> Iterator[str]:
    """Run a mail server that knows nobody whose name begins with `no`; give its host:port."""

    class Box(Message):  # type: ignore[misc]
        def handle_message(self, message: Any) -> None:
            got.append(message)

        async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
            if address.startswith("no"):
                return "550 nobody of that name"
            envelope.rcpt_tos.append(address)
            return "250 OK"

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(Box()), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def mailed(where: str, *to: str) -> None:
    said = {"to": to, "from": "harness@mail.example", "server": where, "security": "none"}
    notify.send(Notify(email=Email.model_validate(said)), FOUND, CHANGED)


def test_mail_arrives_once(capsys: pytest.CaptureFixture[str]) -> None:
    got: list[Any] = []
    with mailbox(got) as where:
        mailed(where, "lab@mail.example", "boss@mail.example")
    (mail,) = got
    assert mail["Subject"] == "night.yml: failed: 0 of 1 cell passed; 1 product failure"
    assert mail["To"] == "lab@mail.example, boss@mail.example"
    assert "test\\_x fails now" in mail.get_payload(decode=True).decode()
    assert capsys.readouterr().err == ""


def test_whom_a_mail_server_does_not_know_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    got: list[Any] = []
    with mailbox(got) as where:
        mailed(where, "lab@mail.example", "nobody@mail.example")
        assert len(got) == 1
        mailed(where, "nobody@mail.example")
    told = f"harness: warning: the mail server {where} takes no mail for nobody@mail.example (550)\n"
    assert (len(got), capsys.readouterr().err) == (1, told * 2)


def test_no_secret_in_a_plan(tmp_path: Path) -> None:
    (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
    plan = tmp_path / "plan.yml"
    plan.write_text(
        "machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\n"
        "notify: {webhook_env: 'https://chat.example/x', email: {to: [a], from: b, server: 'x y'}}\n"
    )
    with pytest.raises(UserError) as caught:
        load_plan(plan)
    assert "3:23: notify.webhook_env: is not the name of a variable" in str(caught.value)
    assert "3:83: notify.email.server: 'x y' is not a mail server, expected HOST or HOST:PORT" in str(caught.value)
    assert "chat.example" not in str(caught.value)
