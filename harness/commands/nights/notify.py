"""Tells a chat room or people how a run ended. What cannot be sent is a warning: the results are there."""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.errors import HarnessError, HostError, UserError
from harness.patience import within
from harness.report import brief
from harness.run.changes import RunChange
from harness.run.results_model import Results
from harness.spec.models.plan import Email, Notify
from harness.spec.rules.plan import server_of
from harness.spec.text.reader import mapping_of, read
from harness.text import lines, one_line

if TYPE_CHECKING:
    from tenacity import RetryCallState

PATIENCE_S = 20.0
TRIES = 3
BUSY = 429  # too many requests (RFC 6585): asked again later, as is what a server cannot do just now
SHORT_S, LONGEST_S = 5.0, 30.0  # between two tries: at most of our own accord, and where the server asks for it
LIMIT_S = 120.0  # for all tries: a server that answers a letter a minute is never silent
MOST = 8000  # characters of a message: chat rooms cut longer ones
SECURE = {"tls": 465, "starttls": 587, "none": 25}


def send(wanted: Notify, found: Results, changed: Sequence[RunChange]) -> None:
    """Send what the plan asks for; a warning says what could not be sent, without the secrets."""
    tasks: list[tuple[str, Callable[[], None]]] = []
    if variable := wanted.webhook_env:
        tasks.append((f"the webhook in {variable}", lambda: _webhook(variable, found, changed)))
    if email := wanted.email:
        tasks.append((f"the mail server {email.server}", lambda: _email(email, found, changed)))
    for what, task in tasks:
        try:
            within(LIMIT_S, what, task)
        except HarnessError as error:
            print(f"harness: warning: {error}", file=sys.stderr)
        except Exception as error:  # noqa: BLE001 -- the run is over: nothing in a notice may end it otherwise
            # no more than the type: the words of a library may hold the secret
            print(f"harness: warning: {what} was not told: {type(error).__name__}", file=sys.stderr)


def _webhook(variable: str, found: Results, changed: Sequence[RunChange]) -> None:
    import httpx2
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    url = _secret(variable)
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(TRIES), wait=_pause, reraise=True,
            retry=retry_if_exception_type((httpx2.TransportError, _Busy)),
        ):  # fmt: skip
            with attempt:
                # of an answer the status is read alone: nobody bounds what a stranger's server sends behind it
                with httpx2.stream("POST", url, json=body(found, changed), timeout=PATIENCE_S) as answer:
                    status = answer.status_code
                    after = answer.headers.get("Retry-After", "")
                if status == BUSY or status >= 500:
                    raise _Busy(str(status), after)
    except _Busy as busy:
        raise HostError(f"the webhook in {variable} answers {busy.status}") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:  # whose words may hold the URL
        raise HostError(f"the webhook in {variable} cannot be reached: {type(error).__name__}") from None
    if status >= 300:
        raise HostError(f"the webhook in {variable} answers {status}")


class _Busy(Exception):  # noqa: N818 -- it is asked again
    """A server that may hear a notice later: its status, and the seconds that it asks to wait, as it says them."""

    def __init__(self, status: str, after: str) -> None:
        self.status = status
        self.after = min(float(after), LONGEST_S) if after.isascii() and after.isdigit() and len(after) < 7 else 0.0


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, _Busy) else 0.0
    return max(asked, min(2.0 ** (state.attempt_number - 1), SHORT_S))


def body(found: Results, changed: Sequence[RunChange]) -> dict[str, Any]:
    """Return what a webhook gets; most chat rooms show its `text`."""
    return {
        "text": lines(brief.markdown(found, changed), MOST),
        "run": found.run,
        "when": found.when,
        "plan": found.plan and one_line(found.plan),
        "exit": found.exit,
        "outcome": found.outcome.word,
        "cells": {one_line(row.id): row.status for row in found.cells},
        "changes": [{"kind": one.kind, "text": one_line(one.text)} for one in changed],
    }


def message(wanted: Email, found: Results, changed: Sequence[RunChange]) -> EmailMessage:
    """Return the mail."""
    made = EmailMessage()
    made["Subject"] = _line(f"{found.plan or 'a run'}: {found.outcome.headline}")
    made["From"], made["To"] = wanted.from_, ", ".join(wanted.to)
    # without these two, mail servers hold a mail for spam; the third keeps holiday replies away (RFC 5322, RFC 3834)
    made["Date"], made["Message-ID"] = formatdate(usegmt=True), make_msgid(domain=_domain(wanted.from_))
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(lines(brief.markdown(found, changed)))
    return made


def _email(wanted: Email, found: Results, changed: Sequence[RunChange]) -> None:
    host, port = server_of(wanted.server)
    password = _secret(wanted.password_env) if wanted.password_env else ""
    user = _secret(wanted.user_env) if wanted.user_env else ""
    number = port or SECURE[wanted.security]
    try:
        with ExitStack() as stack:
            if wanted.security == "tls":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    host, number, timeout=PATIENCE_S, context=ssl.create_default_context()
                )
            else:
                server = smtplib.SMTP(host, number, timeout=PATIENCE_S)
            stack.enter_context(server)
            if wanted.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if user:
                server.login(user, password)
            refused = server.send_message(message(wanted, found, changed))
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        raise HostError(f"the mail server {wanted.server} refuses: {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise HostError(f"the mail server {wanted.server} cannot be used: {type(error).__name__}") from None
    if refused:
        rows = ", ".join(f"{address} ({code})" for address, (code, _) in refused.items())
        raise HostError(f"the mail server {wanted.server} takes no mail for {rows}")


def wanted_by(plan: Path) -> Notify:
    """Return who is to be told of a plan's run, also where the rest of the plan is wrong; nobody where that is."""
    try:
        found = mapping_of(read(plan)).get("notify")
        return Notify.model_validate(found) if isinstance(found, dict) else Notify()
    except (HarnessError, ValidationError):
        return Notify()


def _domain(address: str) -> str:
    return parseaddr(address)[1].rpartition("@")[2]


def _line(text: str) -> str:
    """Return what a header may hold."""
    return one_line(text)


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise UserError(f"the plan's notify needs the environment's variable {variable}, which is not set")
    return value
