from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.sources import PackageSource, from_host, from_mirror, read_host, stanzas, text_of
from harness.errors import HostError, UserError


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def write(etc: Path, name: str, text: str) -> None:
    (etc / name).write_text(text)


def test_both_formats_are_read_and_what_is_off_is_not(etc) -> None:
    write(
        etc,
        "sources.list",
        "# deb http://a.invalid/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k1.gpg,/k2.gpg check-valid-until=no] http://b.invalid/debian bookworm main contrib"
        " # x\n"
        "deb-src http://b.invalid/debian bookworm main\n"
        "deb http://b.invalid/debian\n",
    )
    write(
        etc,
        "sources.list.d/x.sources",
        "Types: deb deb-src\nURIs: http://c.invalid/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By:\n -----BEGIN\n .\n key\n\n# a comment\n\nEnabled: no\nTypes: deb\nURIs: http://d.invalid\n"
        "Suites: bookworm\nComponents: main\n\nTypes: deb-src\nURIs: http://e.invalid\nSuites: bookworm\n",
    )
    write(etc, "sources.list.d/x.sources.disabled", "Types: deb\nURIs: http://f.invalid\nSuites: bookworm\n")
    first, second = read_host(etc)
    assert first == PackageSource(
        ("http://b.invalid/debian",),
        ("bookworm",),
        ("main", "contrib"),
        "/k1.gpg /k2.gpg",
        (("Check-Valid-Until", "no"),),
    )
    assert second.suites == ("bookworm", "bookworm-updates")
    assert second.signed_by == "\n -----BEGIN\n .\n key"


def test_what_is_written_reads_back(etc) -> None:
    source = PackageSource(
        ("http://a.invalid/",), ("bookworm",), ("main",), "\n -----BEGIN\n .\n key", (("By-Hash", "no"),)
    )
    write(etc, "sources.list.d/a.sources", text_of([source, source]))
    assert list(read_host(etc)) == [source, source]
    assert len(list(stanzas(text_of([source, source])))) == 2


def test_only_the_suites_family_is_taken_and_only_main(etc) -> None:
    write(
        etc,
        "sources.list",
        "deb http://a.invalid/debian bookworm main non-free\n"
        "deb http://a.invalid/debian bookworm-updates main\n"
        "deb http://a.invalid/debian bookworm-backports main\n"
        "deb http://s.invalid/debian-security bookworm-security main\n"
        "deb http://v.invalid/docker bookworm stable\n"
        "deb http://v.invalid/node nodistro main\n",
    )
    assert [(one.suites, one.components) for one in from_host("bookworm", etc)] == [
        (("bookworm",), ("main",)),
        (("bookworm-updates",), ("main",)),
        (("bookworm-security",), ("main",)),
    ]


def test_a_host_on_another_suite_lends_its_mirrors(etc) -> None:
    write(
        etc,
        "sources.list",
        "deb http://a.invalid/debian trixie main\ndeb http://s.invalid/debian-security trixie-security main\n"
        "deb http://v.invalid/node nodistro main\n",
    )
    assert [one.suites for one in from_host("bookworm", etc)] == [("bookworm",), ("bookworm-security",)]
    # a rolling suite has no security suite
    assert [one.suites for one in from_host("sid", etc)] == [("sid",)]


def test_a_host_of_another_kind_is_told_what_to_do(etc) -> None:
    write(etc, "sources.list", "deb http://a.invalid/ubuntu noble main universe\n")
    with pytest.raises(HostError, match="nothing for the suite bookworm") as caught:
        from_host("bookworm", etc)
    assert "mirror setting" in caught.value.hint


def test_the_mirror_setting(tmp_path) -> None:
    key = tmp_path / "key.gpg"
    key.write_bytes(b"key")
    found = from_mirror("http://a.invalid/debian, http://a.invalid/debian-security/, file:/m one two", "bookworm", key)
    assert [one.suites for one in found] == [("bookworm",), ("bookworm-security",), ("one", "two")]
    assert {one.signed_by for one in found} == {str(key)}
    for wrong in ("", " , ", "mirror", "/a/path bookworm"):
        with pytest.raises(UserError, match="mirror setting"):
            from_mirror(wrong, "bookworm")
    with pytest.raises(UserError, match="there is no keyring"):
        from_mirror("http://a.invalid", "bookworm", tmp_path / "none.gpg")
