"""The profile `immutable`: nothing makes the system writable, a changed root shows, state lies where it is declared."""

import hashlib
import json
import shlex

import pytest

from harness.image import MANIFEST, Image
from harness.suite import control, judge
from harness.suite.control import PLACE, Attempt

MEASURED = "echo 3 >/proc/sys/vm/drop_caches; exec dd if=/dev/loop7 bs=64k 2>/dev/null"
SQUASHFS = b"hsqs"
MADE = 8  # where its superblock has the time at which it was made: four bytes that nobody reads
WRITTEN = "of the image before"
# That a remount makes writable what may be: without that, no remount shows anything.
REMOUNT = Attempt(
    "true >/.written",
    f"mount -t tmpfs -o ro tmpfs {PLACE}/folder && mount -o remount,rw {PLACE}/folder && true >{PLACE}/folder/x; "
    f"code=$?; umount {PLACE}/folder; exit $code",
)


def test_no_mount_of_the_system_can_be_made_writable(shell, expect):
    declared = declared_places(expect)
    assert control.succeeded(shell, [REMOUNT]) == []
    found = []
    for mount in control.mounts(shell):
        # what is read-only: the file system, this mount of it, or both; only that is tried, and made again
        ways = [way for way, flags in (("", mount.super_flags), (",bind", mount.flags)) if "ro" in flags]
        if not ways or mount.place in declared:
            continue
        place = shlex.quote(mount.place)
        shell.run("; ".join(f"mount -o remount,rw{way} {place}" for way in ways))
        if shell.run(f"true >{place}/.written && rm -f {place}/.written").code == 0:
            found.append(mount.place)
        shell.run("; ".join(f"mount -o remount,ro{way} {place}" for way in reversed(ways)))
    assert not found, f"made writable: {', '.join(found)}"


def test_a_changed_root_is_detected(boot, image, tmp_path):
    """One bit of the root is other than it was built: the system boots, and the root's digest tells."""
    for name in ("kernel", "probe"):
        (tmp_path / name).symlink_to(image.folder / name)
    content = bytearray(image.initrd.read_bytes())
    root = content.index(SQUASHFS, content.index(b"root.squashfs\0"))
    content[root + MADE] ^= 1
    (tmp_path / "initrd").write_bytes(content)
    # whoever changes a root changes what the manifest says of its file, too; what is measured is compared with the root
    digest = hashlib.sha256(content).hexdigest()
    files = [row | ({"sha256": digest} if row["name"] == "initrd" else {}) for row in image.manifest["files"]]
    (tmp_path / MANIFEST).write_text(json.dumps(image.manifest | {"files": files}))
    system = boot(image=Image(tmp_path))
    measured = system.shell.run(MEASURED, timeout=120, check=True).stdout[: image.manifest["root"]["size"]]
    assert hashlib.sha256(measured).hexdigest() == hashlib.sha256(content[root : root + len(measured)]).hexdigest()
    assert hashlib.sha256(measured).hexdigest() != image.manifest["root"]["sha256"], "the change did not show"


def declared_places(expect):
    return {place for section in ("onboot", "services") for row in expect[section].values() for place in row["mounts"]}


def test_state_lives_in_declared_volumes_only(shell, expect, running):
    declared = declared_places(expect)
    kept = judge.lasting(control.mounts(shell), declared)
    assert not kept, f"kept, and not declared: {', '.join(kept)}"
    for name, pid in running.items():
        pairs = expect["services"][name]["binds"]
        binds = {destination for source, destination in pairs if judge.is_below(source, declared)}
        inside = [
            one for one in control.mounts(shell, pid) if one.place != "/"
        ]  # its root is an overlay of the system's
        kept = judge.lasting(inside, declared | binds)
        assert not kept, f"{name} keeps, and it is not declared: {', '.join(kept)}"


@pytest.mark.needs("onboot")
def test_replacing_the_image_keeps_the_volumes(boot, variant, expect):
    places = sorted(place for row in expect["onboot"].values() for place in row["mounts"])
    if not places:
        pytest.skip("the image declares no mount of its own")
    first = boot()
    for place in places:
        first.shell.run(f"echo {WRITTEN} >{shlex.quote(place)}/.kept && sync", check=True)
    assert first.power_off()
    second = boot(image=variant("files:\n  - {path: etc/replaced, contents: another image}\n"))
    second.shell.run("cat /etc/replaced", check=True)
    lost = [place for place in places if WRITTEN not in second.shell.run(f"cat {shlex.quote(place)}/.kept").text]
    assert not lost, f"lost: {', '.join(lost)}"
