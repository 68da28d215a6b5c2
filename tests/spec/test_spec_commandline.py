"""Command lines that images give to components: honoured, or refused where the word stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.spec import library, load_component
from harness.spec.lint import lint
from harness.spec.models.component import CommandLine, CommandOption, ComponentSpec
from harness.spec.rules.commandline import problems

HONOURED = [
    ("mount", "/usr/bin/mountie /var/lib/docker"),
    ("mount", "/mount.sh /var/lib/docker"),
    ("mount", "mountie -label DATA /var/lib/docker"),
    ("mount", "/usr/bin/mountie --label=DATA /var/lib/docker"),
    ("mount", "/usr/bin/mountie -uuid=0c5e /var/lib/docker"),
    ("mount", "/usr/bin/mountie /dev/sda1 /var/lib/docker"),
    ("format", "/usr/bin/format"),
    ("format", "/usr/bin/format -verbose -force=true -type xfs -label DATA -partition gpt /dev/vda"),
    ("extend", "/usr/bin/extend -type btrfs /dev/vda /dev/vdb"),
    ("swap", "/swap.sh --path /var/external/swap --size 1G --encrypt"),
    ("swap", "/swap.sh --path /var/a --size 1G --condition part:/var:true --condition partsize:/var:1G:false"),
    ("dm-crypt", "/usr/bin/crypto name /dev/sda1"),
    ("dm-crypt", "/usr/bin/crypto -lk some_key name /dev/sda1"),
    ("dm-crypt", "/usr/bin/crypto name --key-file=/other/key /dev/sda1 --luks"),
    ("losetup", "/usr/bin/loopy -c -s50 --dev /dev/loop3 /var/file"),
    ("losetup", "/usr/bin/loopy --create /var/external/storage_file"),
    ("swap", "/bin/sh -c anything --at --all"),  # another program is not judged
]
REFUSED = [
    ("mount", "/usr/bin/mountie", 0, "has no argument"),
    ("mount", "/usr/bin/mountie a b c", 3, "has 3 arguments"),
    ("mount", "/usr/bin/mountie -lable DATA /var/x", 1, "-lable is not honoured by the library's mount"),
    ("mount", "sh /mount.sh -t ext4 /var/x", 2, "-t is not honoured"),
    ("mount", "/usr/bin/mountie -label", 1, "-label takes a value"),
    ("format", "/usr/bin/format -type zfs", 2, "-type zfs is not honoured"),
    ("format", "/usr/bin/format /dev/vda -force", 2, "has 2 arguments"),  # Go's options end at the first argument
    ("extend", "/usr/bin/extend -type=ext9", 1, "-type ext9 is not honoured"),
    ("swap", "/swap.sh --path /var/swap --size 1G --encrypted", 5, "--encrypted is not honoured"),
    ("dm-crypt", "/usr/bin/crypto -lx name /dev/sda", 1, "-x is not honoured"),
    ("dm-crypt", "/usr/bin/crypto /dev/sda", 0, "has 1 argument"),
    ("losetup", "/usr/bin/loopy -s 10M /var/file", 2, "'10M' is not a number"),
]


@pytest.mark.parametrize(("name", "command"), HONOURED)
def test_what_is_honoured(name: str, command: str) -> None:
    assert list(problems(command.split(), load_component(library()[name]), ())) == []


@pytest.mark.parametrize(("name", "command", "index", "what"), REFUSED)
def test_what_is_not_is_refused_where_it_stands(name: str, command: str, index: int, what: str) -> None:
    found = list(problems(command.split(), load_component(library()[name]), ("command",)))
    assert [one.path for one in found] == [("command", index)]
    assert what in found[0].what


def test_an_option_of_the_originals_may_be_known_and_not_honoured(tmp_path: Path) -> None:
    line = CommandLine(programs=("/x",), options=(CommandOption(names=("a", "all"), honoured=False),), style="getopt")
    made = ComponentSpec(name="x", path=tmp_path, digest="", description="", command_line=line)
    assert [one.what for one in problems(["/x", "--all"], made, ())] == [
        "--all is not honoured by the library's x: the original image is needed"
    ]


def test_what_the_environment_says_needs_no_argument(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    entry = {"name": "a", "image": "mount", "command": ["/usr/bin/mountie"], "env": ["MOUNTPOINT=/var/a"]}
    path.write_text(json.dumps({"kernel": {"image": "kernel"}, "onboot": [entry]}))
    assert lint([path])[0].complaints == ()


def test_lint_says_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(
        "kernel: {image: kernel}\nservices:\n  - name: a\n    image: linuxkit/swap:v1\n"
        "    command: [/swap.sh, --path, /var/a, --size, 1M, --encrypt, --foo]\n"
    )
    (complaint,) = lint([path], library=True)[0].complaints
    what = "services[0].command[6]: --foo is not honoured by the library's swap: the original image is needed"
    assert str(complaint) == f"{path}:5:64: {what}"
