"""What mountinfo tells: where files can be kept, and on which device the root is."""

from __future__ import annotations

import pytest

from harness.suite.judge import lasting, mounts

ROOT = "22 1 254:1 / / ro,relatime shared:1 - ext4 /dev/vda1 rw"
RAM = "1 1 0:2 / / ro - rootfs rootfs rw,size=9k"
TMP = "30 22 0:25 / /tmp rw,nosuid - tmpfs tmpfs rw"
VAR = "31 22 254:2 / /var\\040data rw - ext4 /dev/vda2 rw"
LEFT = "32 22 254:3 / /srv ro - ext4 /dev/vda3 rw"
ON_TMP = "33 22 0:26 / /etc rw - overlay overlay rw,lowerdir=/etc,upperdir=/tmp/up,workdir=/tmp/work"
ON_DISK = "34 22 0:27 / /opt rw - overlay overlay rw,lowerdir=/opt,upperdir=/var\\040data/up,workdir=/var\\040data/w"
# the upper layer is named after something else that has a "="
LATER = "35 22 0:28 / /usr rw - overlay overlay rw,lowerdir=/var/usr,upperdir=/tmp/up"
VAR_RW = "36 22 254:2 / /data rw - ext4 /dev/vda2 rw"
LATER_BELOW = "37 22 0:29 / /usr rw - overlay overlay rw,lowerdir=/usr,upperdir=/data/up"
FAR_TMP = "41 22 0:32 / /longer/than/any rw - tmpfs tmpfs rw"
NOWHERE = "38 22 0:30 / /usr rw - overlay overlay rw,lowerdir=/usr"
BESIDE = "39 22 254:2 / /tmpfiles rw - ext4 /dev/vda2 rw"
ON_BESIDE = "40 22 0:31 / /usr rw - overlay overlay rw,lowerdir=/usr,upperdir=/tmpfiles/up"


def test_a_line_is_taken_apart() -> None:
    (root, var) = mounts(f"{ROOT}\n{VAR}")
    assert (root.place, root.kind, root.device) == ("/", "ext4", "254:1")
    assert ("ro" in root.flags, "ro" in root.super_flags) == (True, False)
    assert var.place == "/var data"


@pytest.mark.parametrize(
    ("lines", "declared", "kept"),
    [
        ([ROOT, TMP, LEFT], [], []),
        ([RAM.replace(" ro ", " rw "), TMP], [], []),
        ([ROOT.replace(" ro,", " rw,"), TMP], [], ["/ (ext4)"]),
        ([ROOT, VAR], [], ["/var data (ext4)"]),
        ([ROOT, VAR], ["/var data"], []),
        ([ROOT, VAR], ["/var"], ["/var data (ext4)"]),
        ([ROOT, TMP, ON_TMP], [], []),
        ([ROOT, VAR, ON_DISK], ["/opt"], ["/var data (ext4)"]),
        ([ROOT, TMP, LATER], [], []),
        ([VAR_RW, RAM, LATER_BELOW], ["/data"], []),
        ([RAM, NOWHERE], [], ["/usr (overlay)"]),
        ([RAM, BESIDE, ON_BESIDE], ["/tmpfiles"], []),
        ([RAM, TMP, BESIDE, ON_BESIDE], [], ["/tmpfiles (ext4)", "/usr (overlay)"]),
        ([RAM, VAR_RW, LATER_BELOW, FAR_TMP], [], ["/data (ext4)", "/usr (overlay)"]),
        ([ROOT, LEFT, VAR.replace(" rw ", " ro "), ON_DISK], [], ["/opt (overlay)"]),
    ],
)
def test_what_keeps_files_and_is_not_declared_is_found(lines: list[str], declared: list[str], kept: list[str]) -> None:
    assert lasting(mounts("\n".join(lines)), declared) == kept


@pytest.mark.parametrize("count", range(1, 60, 7))
def test_an_overlay_s_upper_layer_is_found_among_all_its_options(count: int) -> None:
    others = ",".join(f"other{number}=/var/data" for number in range(count))
    line = f"38 22 0:30 / /usr rw - overlay overlay rw,{others},upperdir=/tmp/up"
    assert lasting(mounts(f"{ROOT}\n{TMP}\n{line}"), []) == []
