"""Storage: each component of images/library-storage.yml does its job."""

import pytest

MOUNTED = "mkdir -p /run/try && mount {what} /run/try && {{ {command}; }}; code=$?; umount /run/try; exit $code"


def tried(shell, what, command):
    """Mount a device, run a command while it is mounted at /run/try, and give its output."""
    return shell.run(MOUNTED.format(what=what, command=command), check=True).text


@pytest.mark.needs("onboot/disk2")
def test_losetup(shell):
    assert shell.run("cat /sys/block/loop1/loop/backing_file", check=True).text.endswith("/disks/2\n")
    assert shell.run("cat /sys/block/loop1/size", check=True).text == f"{24 * 2048}\n"


@pytest.mark.needs("onboot/format")
def test_format(shell, log):
    assert "/dev/loop0p1 is ext4" in log("onboot.format")
    assert shell.run("findfs LABEL=data", check=True).text == "/dev/loop0p1\n"


@pytest.mark.needs("onboot/mount")
def test_mount(shell):
    assert " /var/data ext4 rw" in shell.run("cat /proc/mounts", check=True).text
    assert shell.run("echo kept >/var/data/new && cat /var/data/new", check=True).text == "kept\n"


@pytest.mark.needs("onboot/extend", "onboot/mount")
def test_extend(shell):
    # the disk was made with 40 MB and has 100
    size = int(shell.run("df -m /var/data | awk 'END { print $2 }'", check=True).text)
    assert 80 <= size <= 100


@pytest.mark.needs("onboot/swap")
def test_swap(shell):
    # named from where its file system begins
    (row,) = [line.split() for line in shell.run("grep /swap /proc/swaps", check=True).text.splitlines()]
    assert row[1] == "file" and 8000 < int(row[2]) < 8192


@pytest.mark.needs("onboot/zram")
def test_zram(shell):
    (row,) = [line.split() for line in shell.run("grep zram /proc/swaps", check=True).text.splitlines()]
    assert row[1] == "partition" and row[-1] == "100"


@pytest.mark.needs("onboot/dm-crypt", "onboot/lvm", "onboot/mdadm", "onboot/verity")
def test_device_nodes_are_made_without_complaint(shell):
    """These four make their device nodes themselves, for no udev runs, and give each an owner."""
    assert shell.run("grep 'not permitted' /var/log/onboot.*.log").text == ""


@pytest.mark.needs("onboot/mdadm")
def test_mdadm(shell):
    status = shell.run("cat /proc/mdstat", check=True).text
    assert "md0 : active raid1" in status and "[UU]" in status


@pytest.mark.needs("onboot/lvm")
def test_lvm(shell):
    shell.run("mke2fs /dev/mapper/group-volume >/dev/null 2>&1", check=True)
    assert tried(shell, "/dev/mapper/group-volume", "echo kept >/run/try/new; cat /run/try/new") == "kept\n"


@pytest.mark.needs("onboot/dm-crypt")
def test_dm_crypt(shell):
    shell.run("printf 'nobody may read this' | dd of=/dev/mapper/secret conv=notrunc,fsync 2>/dev/null", check=True)
    assert shell.run("dd if=/dev/mapper/secret bs=20 count=1 2>/dev/null", check=True).text == "nobody may read this"
    # what is encrypted begins behind a head of 16 MiB (LUKS2's default)
    kept = shell.run("dd if=/var/disks/6 bs=1M skip=16 count=1 2>/dev/null", timeout=60, check=True).stdout
    assert len(kept) == 1 << 20 and any(kept[:512]) and b"nobody may read" not in kept


@pytest.mark.disturbs
@pytest.mark.needs("onboot/verity")
def test_verity(shell):
    assert shell.run("cat /dev/mapper/sealed | wc -c", check=True).text == f"{8 << 20}\n"
    shell.run("echo changed | dd of=/var/disks/7 bs=1 seek=5000 conv=notrunc 2>/dev/null", check=True)
    shell.run("echo 3 >/proc/sys/vm/drop_caches", check=True)
    assert "Input/output error" in shell.run("cat /dev/mapper/sealed 2>&1 >/dev/null").text


@pytest.mark.needs("onboot/btrfs")
def test_btrfs(shell):
    assert shell.run("mkdir -p /run/try && mount -t btrfs /dev/loop3 /run/try", timeout=60).code == 0
    shell.run("echo kept >/run/try/new; sync; umount /run/try", check=True)
    assert tried(shell, "-t btrfs /dev/loop3", "cat /run/try/new") == "kept\n"


@pytest.mark.needs("onboot/xfs")
def test_xfs(shell):
    assert tried(shell, "-t xfs /dev/zram1", "echo kept >/run/try/new; cat /run/try/new") == "kept\n"


@pytest.mark.needs("services/trim-after-delete", "onboot/mount")
def test_trim_after_delete(shell, eventually):
    used = "du -k /var/disks/1 | awk '{ print $1 }'"
    shell.run("dd if=/dev/urandom of=/var/data/large bs=1M count=20 2>/dev/null; sync; sleep 3", check=True)
    full = int(shell.run(used, check=True).text)
    shell.run("rm /var/data/large; sync", check=True)
    eventually(f"[ $({used}) -lt {full - 15000} ]")


@pytest.mark.needs("services/nbd-server", "services/nbd-client")
def test_nbd_server_and_nbd_client(eventually):
    eventually("dd if=/dev/nbd0 bs=512 count=1 2>/dev/null | grep 'over nbd'")


@pytest.mark.needs("services/iscsi-target", "services/iscsi")
def test_iscsi_target_and_iscsi(eventually):
    eventually("dd if=/dev/sda bs=512 count=1 2>/dev/null | grep 'over iscsi'")


@pytest.mark.needs("services/nfs-server", "services/nfs")
def test_nfs_server_and_nfs(shell, eventually):
    eventually("grep ' /var/remote nfs4 ' /proc/mounts")
    shell.run("echo 'over nfs' >/var/remote/new", check=True)
    assert shell.run("cat /var/shared/new", check=True).text == "over nfs\n"


@pytest.mark.needs("onboot/fio")
def test_fio(log):
    assert "err= 0" in log("onboot.fio") and "WRITE: bw=" in log("onboot.fio")
