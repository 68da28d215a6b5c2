from __future__ import annotations

from pathlib import Path

import pytest

from harness import secrets
from harness.errors import UserError
from harness.secrets import redact
from harness.spec import SpecError, load_image, load_os
from harness.spec.lint import lint

GOOD = """\
os: {name: debian, arch: arm64}
kernel: vmlinuz
initrd: initrd.img
milestones:
  - {name: up, pattern: 'running in system mode'}
  - {name: ready, pattern: 'login:'}
login: {password: secret}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "vmlinuz").touch()
    (folder / "initrd.img").touch()
    (folder / "os.yml").write_text(text)
    return folder / "os.yml"


def test_an_os_is_read(tmp_path: Path) -> None:
    made = load_os(written(tmp_path, GOOD))
    assert (made.os.name, made.kernel, made.disk) == ("debian", tmp_path / "vmlinuz", None)
    assert [row.name for row in made.milestones] == ["up", "ready"]
    assert made.login is not None and (made.login.user, made.login.prompt) == ("root", "login: ")
    (finding,) = lint([tmp_path / "os.yml"])
    assert (finding.kind, finding.complaints) == ("os", ())


def test_a_password_may_be_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, GOOD.replace("password: secret", "password_env: OS_PASSWORD"))
    with pytest.raises(UserError, match="the password of root is not in the environment"):
        load_os(path)
    monkeypatch.setenv("OS_PASSWORD", "other")
    made = load_os(path)
    assert made.login is not None and made.login.password == "other"
    assert redact("it said: other") == "it said: [secret]"  # an OS may repeat what it was told
    secrets.forget()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arm64", "arm", "1:26: os.arch: unknown architecture 'arm', did you mean arm64?"),
        ("debian", "a b", "1:12: os.name: 'a b' is not a name"),
        ("kernel: vmlinuz\n", "", "2:1: initrd: means nothing without `kernel`"),
        ("kernel: vmlinuz\ninitrd: initrd.img\n", "", "1:1: nothing says what to boot"),
        ("vmlinuz", "bzImage", "2:9: kernel: there is no file 'bzImage' to be read"),
        ("vmlinuz", ".", "2:9: kernel: there is no file '.' to be read"),
        ("name: ready", "name: end", "5:3: milestones: the last one is not 'ready'"),
        ("name: up", "name: ready", "6:12: milestones[1].name: 'ready' is here twice"),
        ("name: up", "name: unready", "5:12: milestones[0].name: 'unready' is not a name"),
        ("'login:'", "'(?=login)'", "6:28: milestones[1].pattern: is not a pattern: invalid perl operator: (?="),
        ("'login:'", "'a*'", "6:28: milestones[1].pattern: is found in an empty line"),
        ("'login:'", "'(a{1000}){1000}'", "6:28: milestones[1].pattern: is not a pattern: "),
        ("'login:'", "x" * 201, "6:28: milestones[1].pattern: has 201 characters, expected at most 200"),
        ("'login:'", "3", "6:28: milestones[1].pattern: found the number 3, expected text"),
        ("password: secret", "passwd: secret", "7:9: login.passwd: unknown key, did you mean password?"),
        ("secret", "secret, password_env: P", "7:27: login.password_env: there is a password already"),
        ("secret", '"a\\eb"', "7:19: login.password: has characters that cannot be typed or seen"),
        ("milestones:", "milestone:", "milestones: is missing"),
    ],
)
def test_mistakes_are_told_where_they_are(old: str, new: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_os(written(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)


def test_an_os_is_no_image_to_be_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="describes an OS that the harness has not built"):
        load_image([written(tmp_path, GOOD)])
