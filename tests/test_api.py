"""The public Python API: its examples run, and its surface is what the page says."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest

from harness import api, paths
from harness.errors import UserError
from harness.image import Image
from harness.measure.compare import Comparison

PAGE = (paths.TOP / "docs/api.md").read_text()
EXAMPLES = re.findall(r"^```python api\n(.*?)^```$", PAGE, re.M | re.S)
BOOTS = [text for text in EXAMPLES if re.search(r"api\.(boot|exact)\(", text)]
CHEAP = [text for text in EXAMPLES if text not in BOOTS]


def test_there_are_examples_of_both_kinds() -> None:
    assert len(BOOTS) >= 2 and len(CHEAP) >= 2


@pytest.mark.parametrize("text", CHEAP, ids=range(len(CHEAP)))
def test_an_example_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "docs/api.md", "exec"), {})


@pytest.mark.boots
@pytest.mark.parametrize("text", BOOTS, ids=range(len(BOOTS)))
def test_an_example_that_boots_runs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "docs/api.md", "exec"), {})
    said = capsys.readouterr().out
    assert "aarch64" in said or re.search(r"^\d+ µs from", said, re.M)
    assert list(tmp_path.iterdir()) == []


def test_the_page_tells_of_all_that_is_public_and_all_of_it_is_typed_and_described() -> None:
    for name in api.__all__:
        assert re.search(rf"`{name}\b", PAGE), name
        one = getattr(api, name)
        assert inspect.getdoc(one), name
        if inspect.isfunction(one) and one.__module__ == api.__name__:
            hints = inspect.get_annotations(inspect.unwrap(one))
            assert set(hints) == {*inspect.signature(one).parameters, "return"}, name
            assert "Any" not in str(hints.values()), name
    assert not {name for name in vars(api) if not name.startswith("_") and inspect.isfunction(getattr(api, name))
                and getattr(api, name).__module__ == api.__name__} - set(api.__all__)  # fmt: skip
    assert typing.get_type_hints(api.find_machine, vars(api) | {"MachineSpec": object})


def test_who_takes_settings_and_who_tells_of_progress_is_as_the_page_says() -> None:
    functions = {name: one for name in api.__all__ if inspect.isfunction(one := getattr(api, name))}
    takes = {word: {name for name, one in functions.items() if word in inspect.signature(one).parameters}
             for word in ("settings", "report")}  # fmt: skip
    assert takes == {
        "settings": {"build_image", "find_image", "boot", "exact"},
        "report": {"build_image", "find_image"},
    }


@pytest.mark.parametrize(
    ("name", "arch", "said"),
    [("minimal", "all", "one architecture, not for 'all'"), ("minimal", "arm64,s390x", "one architecture"),
     ([], "arm64", "the name of an image is empty")],
)  # fmt: skip
def test_one_image_for_one_architecture_is_built(name: str | list[str], arch: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        api.build_image(name, arch)


def test_a_history_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no history yet"):
        api.open_history(str(tmp_path / "typo" / "history.db"))
    assert list(tmp_path.iterdir()) == []
    with api.open_history(tmp_path / "history.db", create=True) as made:  # a path as well as a text
        assert list(made.runs(5)) == []


def test_figures_are_compared_as_they_are() -> None:
    found = api.compare({"ready": 1000, "firmware": 5}, {"ready": 9000, "firmware": 5})
    assert isinstance(found, Comparison)
    assert (found.answer, found.changes[0].figure, found.changes[0].us) == ("worse", "ready", 8000)


@pytest.mark.parametrize(
    ("name", "said"),
    [("qemu-arm64", "no image 'qemu-arm64'"), (paths.MACHINES / "qemu-arm64.yml", "describes a machine")],
)
def test_what_is_no_image_is_said_before_anything_is_built(name: str | Path, said: str) -> None:
    with pytest.raises(UserError, match=said):
        api.build_image(name, "arm64")
    with pytest.raises(UserError, match=said):
        api.find_image(name, "qemu-arm64")


def test_a_built_folder_is_booted_only_on_its_own_architecture(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": 1, "name": "x", "arch": "arm64"}')
    assert api.find_image(tmp_path, "qemu-arm64") == Image(tmp_path)
    with pytest.raises(UserError, match="is for arm64, but qemu-s390x is s390x"):
        api.find_image(tmp_path, "qemu-s390x")
