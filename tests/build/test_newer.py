"""What a mirror has that a lock or the cache has not: found, named, and changing nothing that is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from debian_mirror import Item, Mirror, Repository

from harness import paths
from harness.build import newer
from harness.build.debian import Debian
from harness.build.newer import NewerRow
from harness.build.settings import Settings
from harness.cli import app
from harness.commands.runs import outdated
from harness.image import Image
from harness.store import Store

NEEDED = ("busybox-static", "crun", "linux-image-cloud-arm64")


@pytest.fixture
def ask(repository: Repository, mirror: Mirror, tmp_path: Path):
    """Returns `harness outdated` of `minimal`, from a mirror that has all it needs in version 1."""
    for name in NEEDED:
        repository.add(name, "1", [Item("./usr/bin/x", name.encode())], "arm64")
    repository.publish()

    def run(*words: str) -> tuple[int, str]:
        argv = ["outdated", str(paths.CASES / "images/minimal.yml"), "--arch", "arm64", "--mirror", mirror.url,
                "--keyring", str(repository.key), "--cache", str(tmp_path / "cache"), *words]  # fmt: skip
        done = CliRunner().invoke(app, argv)
        return done.exit_code, done.stdout

    return run


def test_what_is_newer_is_named_and_nothing_that_is_kept_changes(ask, repository: Repository, tmp_path: Path) -> None:
    assert ask() == (0, "arm64: 0 of 3 packages are newer on the mirror\n")
    repository.add("crun", "1+2", [Item("./usr/bin/x", b"new")], "arm64", Depends="more")
    repository.add("more", "1", [], "arm64")
    repository.add("busybox-static", "1", [Item("./usr/bin/x", b"other")], "arm64")
    repository.publish()
    kept = sorted((tmp_path / "cache/resolved").iterdir())
    before = [path.read_bytes() for path in kept]
    said = (
        "arm64: 1 of 3 packages is newer on the mirror, 0 of them for security; "
        "1 of other bytes there under the same version; 1 more needed today\n"
        "  busybox-static  1  other bytes\n  crun  1 → 1+2\n  more  none → 1  added\n"
    )
    assert ask() == (1, said) and ask() == (1, said)
    assert [path.read_bytes() for path in sorted((tmp_path / "cache/resolved").iterdir())] == before
    code, text = ask("--json")
    assert code == 1 and [row["kind"] for row in json.loads(text)["arm64"]["rows"]] == ["other bytes", "newer", "added"]
    assert ask("--offline")[0] == 2 and ask("--lock", str(tmp_path / "no.lock"))[0] == 2


def lock(*packages: tuple[str, str], images: dict[str, str] | None = None) -> dict[str, Any]:
    records = [
        {"name": name, "version": version, "sha256": f"{name} {version}", "source": name[:1]}
        for name, version in packages
    ]
    return {"packages": records, "requests": {"arm64": {"all": [one["sha256"] for one in records]}},
            "images": {"arm64": images or {}}}  # fmt: skip


def test_each_kind_of_difference() -> None:
    held = lock(("a", "1.9"), ("b", "2~rc1"), ("c", "1:1"), ("d", "1"), images={"r/x:1": "sha256:a"})
    newest = lock(("a", "1.10"), ("b", "2"), ("c", "3"), ("e", "1"), images={"r/x:1": "sha256:b"})
    rows = newer.compare(held, newest, "arm64", {"b", "c", "e"})
    assert newer.Asked(held, newest, 4, tuple(rows)).security("arm64") == {"b", "e"}
    assert rows == [
        NewerRow("a", "newer", "1.9", "1.10"), NewerRow("b", "newer", "2~rc1", "2", security=True),
        NewerRow("c", "older", "1:1", "3"), NewerRow("d", "gone", "1", ""),
        NewerRow("e", "added", "", "1", security=True),
        NewerRow("image r/x:1", "image", "sha256:a", "sha256:b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mirror", "uri", "secure"),
    [
        (
            "http://m/debian bookworm, http://m/debian-security bookworm-security",
            "http://m/debian-security/pool/x",
            True,
        ),
        ("http://m/debian bookworm, http://m/debian-security bookworm-security", "http://m/debian/pool/x", False),
        ("http://m/all bookworm bookworm-security", "http://m/all/pool/main/x", False),
        ("http://m/all bookworm bookworm-security", "http://m/all/pool/updates/main/x", True),
        ("http://m/all bookworm", "http://m/all/pool/updates/main/x", False),
    ],
)
def test_what_only_a_repository_of_security_updates_has(mirror: str, uri: str, secure: bool, tmp_path: Path) -> None:
    debian = Debian(Store(tmp_path), mirror=mirror)
    debian._uris["digest"] = uri
    assert debian.is_security("digest") == secure and not debian.is_security("another")


def test_a_security_update_takes_along_what_it_replaces() -> None:
    held, newest = lock(("kernel", "1"), ("k-1", "1"), ("z", "1")), lock(("kernel", "2"), ("k-2", "2"))
    asked = newer.Asked(held, newest, 3, tuple(newer.compare(held, newest, "arm64", {"kernel", "k-2"})))
    assert asked.security("arm64") == {"kernel", "k-2", "k-1"}


def test_what_an_update_changes_is_measured_for_all_and_for_security_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held, newest = lock(("a", "1"), ("b", "1")), lock(("a", "2"), ("b", "2"))
    asked = newer.Asked(held, newest, 2, tuple(newer.compare(held, newest, "arm64", {"b"})))

    def versions(settings: Settings) -> str:
        assert settings.lock and not settings.refresh
        found = json.loads(settings.lock.read_text())
        used = found["requests"]["arm64"]["all"]
        return " ".join(used)

    costs = {"a 1 b 1": 300_000, "a 2 b 2": 310_500, "a 1 b 2": 300_500}

    class Built:
        def __init__(self, settings: Settings, *_: object) -> None:
            self.cost = costs[versions(settings)]

        def build(self, *_: object) -> Image:
            return type("Sized", (), {"size": self.cost * 10})()

    monkeypatch.setattr(newer, "ask", lambda *_: asked)
    monkeypatch.setattr(outdated, "Builder", Built)
    monkeypatch.setattr(outdated, "measured", lambda *words: costs[versions(words[-1])])
    request = outdated.OutdatedRequest(size=True, machines=["qemu-arm64"])
    assert outdated.outdated(["minimal"], Settings(), request) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "arm64: all of it: 3.105 MB shipped (+0.105)", "qemu-arm64: all of it: total 310.500 ms (+10.500 ms)",
        "arm64: what is for security alone: 3.005 MB shipped (+0.005)",
        "qemu-arm64: what is for security alone: total 300.500 ms (+0.500 ms)",
    ]  # fmt: skip
