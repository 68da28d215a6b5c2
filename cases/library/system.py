"""Boot, time, logs and access: each component of images/library-system.yml does its job."""

import base64
import io
import time

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import paths
from harness.arch import ARCHES

KEY = Ed25519PrivateKey.from_private_bytes(b"harness: the key of these cases.")
AGENT = '{"execute": "guest-info"}'
FOREIGN = dict(zip(ARCHES, [*ARCHES][-1:] + [*ARCHES][:-1], strict=True))  # another one for each


@pytest.mark.needs("services/getty")
def test_init_kernel_and_busybox(shell, image):
    assert shell.run("uname -r", check=True).text.strip() == image.manifest["kernel"]
    assert shell.run("readlink /proc/1/exe", check=True).text == "/usr/bin/busybox\n"


@pytest.mark.needs("services/getty")
def test_ca_certificates(shell):
    assert int(shell.run("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt", check=True).text) > 100


@pytest.mark.needs("services/getty")
def test_firmware(shell):
    folder = shell.run("cd /usr/lib/firmware && find . -type f -size +0", check=True).text.split()
    assert "./isci/isci_firmware.bin" in folder


@pytest.mark.needs("onboot/sysctl")
def test_sysctl(shell):
    assert shell.run("cat /proc/sys/vm/max_map_count", check=True).text == "262144\n"


@pytest.mark.needs("onboot/sysfs")
def test_sysfs(shell):
    assert shell.run("cat /sys/block/loop6/queue/read_ahead_kb", check=True).text == "64\n"


@pytest.mark.needs("onboot/modprobe")
def test_modprobe(shell):
    assert shell.run("ls -d /sys/module/dm_verity", check=True).code == 0


@pytest.mark.needs("onboot/binfmt")
def test_binfmt(shell, machine):
    program = (paths.GUEST / "native/bin" / FOREIGN[machine.arch] / "await").read_bytes()
    shell.run(
        f"echo {base64.b64encode(program).decode()} | base64 -d >/tmp/foreign && chmod +x /tmp/foreign", check=True
    )
    # a name that nobody has is not healthy within a second
    found = shell.run("/tmp/foreign -nobody 1 file /no/such/file", timeout=60)
    assert found.code == 1, found


@pytest.mark.network
@pytest.mark.needs("onboot/dhcp")
def test_dhcp(shell):
    assert "inet 10." in shell.run("ip -4 addr show scope global", check=True).text


@pytest.mark.needs("onboot/metadata")
def test_metadata(shell, log):
    assert shell.run("cat /run/config/user-data", check=True).text == "from the cloud\n"
    assert shell.run("cat /run/config/userdata", check=True).text == "from the cloud\n"
    assert "from CDROM /dev/loop0p1" in log("onboot.metadata")


@pytest.mark.needs("services/getty")
def test_getty(system):
    assert f"(getty) {system.shell.run('hostname', check=True).text.strip()}:" in system.transcript.read_text()


@pytest.mark.needs("services/rngd")
def test_rngd(shell):
    assert shell.run("cat /sys/class/misc/hw_random/rng_current", check=True).text.strip() not in ("", "none")
    assert shell.run("cat /var/log/rngd.log").text.find("no hardware") == -1


@pytest.mark.needs("services/haveged")
def test_haveged(running, log):
    # it stays only where its own tests of what it makes have passed
    assert "haveged" in running
    assert "tests" in log("haveged").lower()


@pytest.mark.needs("services/sshd")
def test_sshd(system):
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1", system.forwards[22], "root", timeout=60, banner_timeout=60, auth_timeout=60,
            pkey=paramiko.Ed25519Key.from_private_key(io.StringIO(private.decode())),
            allow_agent=False, look_for_keys=False,
        )  # fmt: skip
        assert client.exec_command("echo logged in", timeout=60)[1].read() == b"logged in\n"


@pytest.mark.needs("services/chrony")
def test_chrony(inside):
    assert "Stratum         : 8" in inside("chrony", "chronyc", "tracking")


@pytest.mark.needs("services/openntpd", "services/chrony")
def test_openntpd(shell, running, eventually):
    # both began at once; a server that was not there it asks again after 25 minutes, or when it begins anew
    shell.run(f"kill {running['openntpd']}", check=True)
    eventually("grep -q 'peer 127.0.0.1 now valid' /var/log/openntpd.log", timeout=120)


@pytest.mark.disturbs
@pytest.mark.needs("services/host-timesync-daemon", "services/speaker")
def test_host_timesync_daemon(shell, inside):
    shell.run("date -s @1000000000", check=True)
    said = inside("speaker", "/bin/sh", "-c", f"echo {int(time.time())} | socat -t 30 - VSOCK-CONNECT:1:62372,retry=30")
    assert abs(int(said) - time.time()) < 60
    assert abs(int(shell.run("date +%s", check=True).text) - time.time()) < 60


@pytest.mark.needs("services/auditd")
def test_auditd(shell, eventually):
    shell.run("touch /var/watched/new", check=True)
    eventually("grep -q 'key=\"harness\"' /var/log/audit/audit.log")


@pytest.mark.needs("services/memlogd", "services/logwrite")
def test_memlogd_and_logwrite(shell, eventually):
    shell.run("logger 'to be kept'", check=True)
    eventually("logread | grep 'to be kept'")
    eventually("grep 'to be kept' /var/log/logwrite/log")


@pytest.mark.needs("services/kmsg")
def test_kmsg(log, shell, eventually):
    assert "Linux version" in log("kmsg")
    shell.run("echo '<14>said now' >/dev/kmsg", check=True)
    eventually("grep 'said now' /var/log/kmsg.log")


@pytest.mark.needs("services/rsyslog")
def test_rsyslog(shell, eventually):
    shell.run("printf '<13>Jan  1 00:00:00 elsewhere test: over the network\\n' | nc 127.0.0.1 514", check=True)
    eventually("grep 'elsewhere test: over the network' /var/log/remote.log")


@pytest.mark.needs("services/cron")
def test_cron(eventually):
    assert eventually("cat /run/cron-ran", timeout=90).startswith("ran\n")


@pytest.mark.needs("services/watchdog")
def test_watchdog(shell):
    folder = "/sys/class/watchdog/watchdog0"
    assert shell.run(f"cat {folder}/state {folder}/timeout", check=True).text.split() == ["active", "20"]
    before = float(shell.run("cat /proc/uptime", check=True).text.split()[0])
    time.sleep(30)  # the machine would have started again by now
    assert float(shell.run("cat /proc/uptime", check=True).text.split()[0]) > before + 20


@pytest.mark.needs("services/qemu-ga", "services/vsudd", "services/speaker")
def test_qemu_ga_and_vsudd(inside):
    said = inside("speaker", "/bin/sh", "-c", f"echo '{AGENT}' | socat -t 10 - VSOCK-CONNECT:1:2000")
    assert '"guest-ping"' in said


@pytest.mark.needs("services/swtpm", "services/tss")
def test_tss_and_swtpm(eventually):
    eventually("grep -qxE '[0-9a-f]{16}' /var/log/tss.log")


@pytest.mark.needs("services/getty")
def test_poweroff(boot, variant):
    more = "services: [{name: off, image: poweroff, command: [/bin/sh, /poweroff.sh, '1']}]"
    system = boot(image=variant(more), probe=False, until="off")
    assert [mark.name for mark in system.milestones if mark.name in ("shutdown", "off")] == ["shutdown", "off"]
