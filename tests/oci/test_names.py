"""References, and where registries.conf has them asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.oci.registries import find, is_loopback
from harness.spec.image_reference import Local, Named, parse

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("app:1", Named("", "app", "1")),
        ("team/app", Named("", "team/app", "latest")),
        (f"team/app@{DIGEST}", Named("", "team/app", "", DIGEST)),
        (f"registry.example/app:1@{DIGEST}", Named("registry.example", "app", "1", DIGEST)),
        ("registry.example:5000/a/b_c/d.e:V1.0-x", Named("registry.example:5000", "a/b_c/d.e", "V1.0-x")),
        ("localhost/app", Named("localhost", "app", "latest")),
        ("[::1]:5000/app", Named("[::1]:5000", "app", "latest")),
        ("oci:folder", Local("oci", "folder")),
        ("oci:../folder:registry.example/app:1", Local("oci", "../folder", "registry.example/app:1")),
        ("docker-archive:/a.tar:app:1", Local("docker-archive", "/a.tar", "app:1")),
        ("oci-archive:a b.tar", Local("oci-archive", "a b.tar")),
    ],
)
def test_what_a_reference_means(text: str, meaning: Named | Local) -> None:
    assert parse(text) == meaning
    assert parse(str(meaning)) == meaning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not an image reference"),
        ("App:1", "is not an image reference"),
        ("registry.example/App", "is not an image reference"),
        ("Team/app", "is not an image reference"),
        ("app:1:2", "is not an image reference"),
        ("../app:1", "is not an image reference"),
        ("registry.example/../../v2/app", "is not an image reference"),
        ("registry.example/app?x=1", "is not an image reference"),
        ("user:secret@registry.example/app", "is not an image reference|is not a digest"),
        ("https://registry.example/app", "is not an image reference"),
        ("app:" + "t" * 129, "is not an image reference"),
        ("a/" * 300 + "app:1", "is not an image reference"),
        ("app@sha256:12", "is not a digest"),
        ("app@md5:" + "0" * 32, "is not a digest"),
        ("oci:", "names no file"),
        ("oci:\x1b[2J", "names no file"),
        ("docker-archive::app:1", "names no file"),
    ],
)
def test_what_is_no_reference(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse(text)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000


CONF = """
unqualified-search-registries = ["first.example", "second.example"]
[aliases]
"tool" = "other.example/x/tool"
[[registry]]
prefix = "registry.example"
location = "real.example/all"
[[registry]]
prefix = "registry.example/team"
location = "team.example"
insecure = true
[[registry.mirror]]
location = "mirror.example/team"
[[registry.mirror]]
location = "tags.example"
insecure = true
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry]]
prefix = "*.wild.example"
[[registry]]
prefix = "*.sub.wild.example/team"
location = "tame.example/team"
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("app:1", ["first.example/library/app"]),
        ("team/app:1", ["first.example/team/app"]),
        ("tool:1", ["other.example/x/tool"]),
        ("elsewhere.example/app", ["elsewhere.example/app"]),
        ("registry.example/app", ["real.example/all/app"]),
        ("registry.example:5000/app", ["registry.example:5000/app"]),
        ("registry.example/teamwork/app", ["real.example/all/teamwork/app"]),
        ("registry.example/team/app", ["mirror.example/team/app", "tags.example/app !", "team.example/app !"]),
        (
            f"registry.example/team/app@{DIGEST}",
            ["mirror.example/team/app", "digests.example/app", "team.example/app !"],
        ),
        ("a.wild.example/app", ["a.wild.example/app"]),
        ("b.sub.wild.example/team/app", ["tame.example/team/app"]),
        ("b.sub.wild.example/app", ["b.sub.wild.example/app"]),
        ("127.0.0.1:5000/app", ["127.0.0.1:5000/app ~"]),
    ],
)  # fmt: skip
def test_where_a_name_is_asked_for(tmp_path: Path, text: str, places: list[str]) -> None:
    (tmp_path / "registries.conf").write_text(CONF)
    registries = find(None, tmp_path / "registries.conf")
    name = parse(text)
    assert isinstance(name, Named)
    found = registries.places(registries.qualify(name))
    signs = [" !" * place.insecure + " ~" * place.loopback for place in found]
    assert [f"{place}{sign}" for place, sign in zip(found, signs, strict=True)] == places


def test_the_hosts_files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find().default == ""
    system, own = tmp_path / "etc", home / ".config/containers"
    monkeypatch.setattr("harness.oci.registries.FOLDERS", (system,))
    for folder, host in ((system, "system.example"), (own, "own.example")):
        (folder / "registries.conf.d").mkdir(parents=True)
        (folder / "registries.conf").write_text(f'unqualified-search-registries = ["{host}"]\n')
        (folder / "registries.conf.d/10.conf").write_text(f'[[registry]]\nlocation = "{host}"\n')
    found = find()
    assert found.default == "own.example"  # one main file, and it is the user's
    assert [rule.location for rule in found.rules] == ["system.example", "own.example"]  # but all the others
    assert find("http://set.example").default == "http://set.example"
    (tmp_path / "named.conf").write_text('unqualified-search-registries = ["named.example"]\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "named.conf"))
    assert find().default == "named.example"
    assert find(None, system / "registries.conf").default == "system.example"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[registry]", "registries.conf: "),
        ("[[registry]]\nblocked = true", "registry.0: .*neither `location` nor `prefix`"),
        ("[[registry]]\nlocation = 1", "registry.0.location: "),
        ('[[registry]]\nlocation = "a.example"\ninsecure = "no"', "registry.0.insecure: "),
        ('[[registry]]\nlocation = "a.example"\nmirror = [{ insecure = true }]', "registry.0.mirror.0.location: "),
        ('registry = "a.example"', "registry: "),
        ('unqualified-search-registries = ["a.example/b"]', "'a.example/b' is not a registry"),
    ],
)
def test_a_file_that_cannot_be_understood(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "registries.conf").write_text(text)
    with pytest.raises(UserError, match=words):
        find(None, tmp_path / "registries.conf")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:5000"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["registry.example", "127.0.0.1.example", "localhost.example:50", "10.0.0.1", "[::2]"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
