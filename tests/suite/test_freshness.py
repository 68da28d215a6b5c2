"""After a night: which of its images would be made of something else today."""

from __future__ import annotations

import pytest

from harness import paths
from harness.build import newer
from harness.build.settings import Settings
from harness.commands.nights import freshness
from harness.errors import HostError
from harness.run.inputs import RunInputs, Wanted, read


@pytest.fixture(scope="module")
def night() -> RunInputs:
    return read(Wanted(images=[str(paths.CASES / "images/minimal.yml")], machines=["qemu-arm64", "qemu-x86_64"]))


def test_what_is_newer_is_a_note_and_what_is_not_is_none(night: RunInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    row = newer.NewerRow("crun", "newer", "1", "2", security=True)

    def ask(spec, arch, *_: object) -> newer.Asked:
        return newer.Asked({}, {}, 50, (row,) if arch.name == "arm64" else ())

    monkeypatch.setattr(newer, "ask", ask)
    assert list(freshness.after_run(night, Settings())) == [
        "minimal arm64: 1 of 50 packages is newer on the mirror, 1 of them for security (harness outdated names them)"
    ]


def test_a_mirror_that_does_not_answer_is_a_note(night: RunInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> newer.Asked:
        raise HostError("the mirror does not answer")

    monkeypatch.setattr(newer, "ask", ask)
    first, second = freshness.after_run(night, Settings())
    assert first == (
        "whether anything is newer than what minimal arm64 is made of is not known: the mirror does not answer"
    )
    assert "x86_64" in second
