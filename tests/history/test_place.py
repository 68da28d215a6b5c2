"""Where a history is, and that nobody sees a password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import PASSWORD, Server

from harness.errors import HarnessError, HostError, UserError
from harness.history import History
from harness.history.place import find

pytestmark = pytest.mark.slow


def test_the_user_s_own_history_outlives_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_HISTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert find().file == tmp_path / "harness/history.db"
    monkeypatch.setenv("HARNESS_HISTORY", "postgres://me@host/db")
    assert find().text == "postgresql://me@host/db"
    assert find("here.db").file == Path.cwd() / "here.db"
    assert find("sqlite:///here.db").file == Path.cwd() / "here.db"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:wry-otter-17@host/db",
        "postgresql://me:wry-otter-17@host:port:5/db",
        "postgresql://me:p@wry-otter-17@host/db",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_wrong_url_is_explained_without_its_password(url: str) -> None:
    with pytest.raises(UserError) as caught:
        find(url)
    assert PASSWORD not in str(caught.value)


def test_no_password_is_shown() -> None:
    place = find(f"postgresql://me:{PASSWORD}@host/db?passfile=x&sslpassword={PASSWORD}")
    assert place.text == "postgresql://me:***@host/db?passfile=x"
    assert PASSWORD not in str(place.explained(RuntimeError(f"what was wrong with {PASSWORD}"), "open"))


def test_a_server_that_refuses_is_quoted(postgres: Server, tmp_path: Path) -> None:
    for url, why in (
        (postgres.url("postgres", "wrong-otter"), "password authentication failed"),
        (postgres.url("nosuch"), 'database "nosuch" does not exist'),
        (f"postgresql://me:{PASSWORD}@/db?host={tmp_path}", "No such file"),
    ):
        with pytest.raises(HostError, match=why) as caught:
            History.open(url)
        for secret in (PASSWORD, "wrong-otter"):
            assert secret not in str(caught.value)


def test_a_bug_s_report_has_no_password(tmp_path: Path) -> None:
    code = "from harness.show.frame import guarded; guarded(lambda: 1 // 0)"
    url = f"postgresql://me:{PASSWORD}@host/db"
    subprocess.run([sys.executable, "-c", code, "--history", url, f"--history={url}"], check=True, capture_output=True,
                   env={**os.environ, "HARNESS_CACHE": str(tmp_path)})  # fmt: skip
    (report,) = tmp_path.glob("crashes/*.txt")
    assert "postgresql://me:***@host/db" in report.read_text()
    assert PASSWORD not in report.read_text()


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(HarnessError, match="not installed") as caught:
        History.open("postgresql://me@host/db")
    assert "bootharness[postgresql]" in caught.value.hint
