"""An entry added to a YAML: however the file is written, what was there stays byte for byte."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.spec.text.edit import ORDER, add
from harness.spec.text.reader import mapping_of, parse

FILE = Path("x.yml")
ITEM = {"name": "web", "image": "nginx"}
REF = {"name": "app", "image": "registry.example/app:1"}


def added(text: str, section: str = "services", item: object = ITEM) -> str:
    """Add to a text; what was there must still be there in one or two pieces, and the new data be as wanted."""
    document = parse(text.encode(), FILE)
    made = add(document, section, item)  # type: ignore[arg-type]
    new, old = made.content.decode(), text
    begin = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(old))
    assert new.endswith(old[begin:]) and len(new) > len(old)
    before, after = mapping_of(document), mapping_of(made)
    assert {key: value for key, value in after.items() if key != section} == {
        key: value for key, value in before.items() if key != section
    }
    if section != "kernel":
        assert after[section] == (*(before.get(section) or ()), item)
    return new


@pytest.mark.parametrize(
    ("text", "section", "item", "expected"),
    [
        # a list with and without an indent, with comments and blank lines around
        ("services:\n  - name: a\n    image: b\n", "services", ITEM,
         "services:\n  - name: a\n    image: b\n  - name: web\n    image: nginx\n"),
        ("services:\n- name: a # c\n\n# end\n", "services", ITEM,
         "services:\n- name: a # c\n- name: web\n  image: nginx\n\n# end\n"),
        ("services:\n      -   name: a\n          image: b\nfiles: []\n", "services", ITEM,
         "services:\n      -   name: a\n          image: b\n      - name: web\n        image: nginx\nfiles: []\n"),
        # flow style, empty, over lines, with a comma at the end
        ("services: []\n", "services", ITEM, "services: [{name: web, image: nginx}]\n"),
        ("init: [init, # one\n  runc, # two\n]\n", "init", "x", "init: [init, # one\n  runc, x, # two\n]\n"),
        ("services: [{name: a}]", "services", REF,
         'services: [{name: a}, {name: app, image: "registry.example/app:1"}]'),
        ("{kernel: {image: k}}", "services", ITEM, "{kernel: {image: k}, services: [{name: web, image: nginx}]}"),
        ("{}", "kernel", {"image": "k"}, "{kernel: {image: k}}"),
        # a section that is not there comes where people look for it
        ("kernel:\n  image: k # k\n\n# f\nfiles:\n- path: a\n", "services", ITEM,
         "kernel:\n  image: k # k\nservices:\n  - name: web\n    image: nginx\n\n# f\nfiles:\n- path: a\n"),
        ("# top\nservices: []\n", "init", "init", "# top\ninit:\n  - init\nservices: []\n"),
        ("services: []\ninit: [a]\n", "onboot", ITEM,
         "services: []\ninit: [a]\nonboot:\n  - name: web\n    image: nginx\n"),
        ("# top\nfiles: []", "kernel", {"image": "k", "cmdline": "a b"},
         '# top\nkernel:\n  image: k\n  cmdline: "a b"\nfiles: []'),
        ("---\nkernel:\n  image: k\n...\n", "init", "i", "---\nkernel:\n  image: k\ninit:\n  - i\n...\n"),
        ("  kernel:\n    image: k\n", "init", "i", "  kernel:\n    image: k\n  init:\n    - i\n"),
        # a key without a value
        ("services: # none yet\n# - name: old\nfiles: []\n", "services", ITEM,
         "services: # none yet\n  - name: web\n    image: nginx\n# - name: old\nfiles: []\n"),
        ("init:\n  -\n", "init", "i", None),
        # text blocks at the end: what they keep is theirs
        ("services:\n  - name: a\n    command: |\n      x\n\n", "services", ITEM,
         "services:\n  - name: a\n    command: |\n      x\n\n  - name: web\n    image: nginx\n"),
        ("services:\n  - name: |+\n      x\n\n\nfiles: []\n", "services", ITEM,
         "services:\n  - name: |+\n      x\n\n\n  - name: web\n    image: nginx\nfiles: []\n"),
        ("services:\n  - name: >-\n      x", "services", ITEM,
         "services:\n  - name: >-\n      x\n  - name: web\n    image: nginx\n"),
        ("services:\n  - name: a\n      b\n  # c\n", "services", ITEM,
         "services:\n  - name: a\n      b\n  - name: web\n    image: nginx\n  # c\n"),
        # no line end, other line ends, a byte order mark
        ("services:\n  - name: a", "services", ITEM, "services:\n  - name: a\n  - name: web\n    image: nginx\n"),
        ("services:\r\n  - name: a\r\n", "services", ITEM,
         "services:\r\n  - name: a\r\n  - name: web\r\n    image: nginx\r\n"),
        ("\ufefffiles: []\n", "init", "i", "\ufeffinit:\n  - i\nfiles: []\n"),
        # anchors and aliases
        ("services:\n  - &a {name: a}\n  - *a\n", "services", ITEM,
         "services:\n  - &a {name: a}\n  - *a\n  - name: web\n    image: nginx\n"),
        ("'services':\n  - name: a\n", "services", ITEM, "'services':\n  - name: a\n  - name: web\n    image: nginx\n"),
    ],
)  # fmt: skip
def test_ways_to_write(text: str, section: str, item: object, expected: str | None) -> None:
    made = added(text, section, item)
    assert expected is None or made == expected


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("init: &i [a]\nservices: *i\n", "services"),
        ("services: text\n", "services"),
        ("services: {name: a}\n", "services"),
        ("services:\n  name: a\n", "services"),
        ("kernel:\n  image: k\n", "kernel"),
        ("services: ~\n", "services"),
        ("- a\n- b\n", "services"),
        ("text\n", "services"),
    ],
)
def test_what_nothing_can_be_added_to_is_refused(text: str, section: str) -> None:
    with pytest.raises(UserError, match="is written in a way that nothing can be added to"):
        add(parse(text.encode(), FILE), section, ITEM)


ENTRY = st.sampled_from([
    "- name: a\n  image: b\n", "- {name: a, image: b}\n", "- name: a # why\n\n  image: 'b'\n", "-   name: a\n",
    "- name: a\n  command:\n    - x\n    # last\n", "- name: a\n  command: [x,\n    y]\n", "- name: |\n    x\n\n",
    "- &a\n  name: a\n", "-\n  name: a\n", "- name:\n    a\n    b\n", "- name: \"a\\n\n    b\"\n", "# no more\n\n",
])  # fmt: skip
FLOW = st.sampled_from(
    ["[]\n", "[ ]\n", "[{name: a}]\n", "[\n {name: a}, # one\n ]\n", "[{name: a},]\n", "\n  [a, b]\n"]
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Return an image's YAML as somebody may have written it."""
    text = draw(st.sampled_from(["", "# top\n", "---\n", "\n\n"]))
    for section in draw(st.lists(st.sampled_from(ORDER), unique=True, max_size=5)):
        if draw(st.booleans()):
            text += f"{section}: {draw(FLOW)}"
        else:
            indent = " " * draw(st.integers(0, 3))
            body = "- name: first\n" + "".join(draw(st.lists(ENTRY, max_size=3)))
            text += f"{section}:\n" + "".join(f"{indent}{line}" if line.strip() else line
                                             for line in body.splitlines(keepends=True))  # fmt: skip
        text += draw(st.sampled_from(["", "", "\n", "# between\n", "\n# between\n\n"]))
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@settings(max_examples=300, deadline=None)
@given(files(), st.sampled_from(["init", "onboot", "onshutdown", "services"]))
@pytest.mark.slow
def test_any_file_keeps_its_bytes(text: str, section: str) -> None:
    try:
        document = parse(text.encode(), FILE)
    except UserError:
        assume(False)
    assume(isinstance(document.data, dict))
    try:
        added(text, section, "init" if section == "init" else ITEM)
    except UserError:
        # a text block that ends with the file has no line end, and would get one
        assert "|" in text and not text.endswith("\n")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="sevics:inot-[]{},&*#'\"|> \n\r!?a", max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    with contextlib.suppress(UserError):
        added(text)
