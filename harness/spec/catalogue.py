"""docs/library.md, made from the components: ``python -m harness.spec.catalogue`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.spec.components import load_component
from harness.spec.models.component import ComponentSpec
from harness.spec.rules.references import library

# Under which heading each component stands.
GROUPS: dict[str, tuple[str, ...]] = {
    "The system itself": ("kernel", "init", "busybox", "shell", "ca-certificates", "firmware"),
    "Boot and configuration": (
        "sysctl", "sysfs", "modprobe", "binfmt", "metadata", "poweroff", "watchdog", "cron",
    ),
    "Time and entropy": ("chrony", "openntpd", "host-timesync-daemon", "rngd", "haveged"),
    "Networking": (
        "dhcp", "dhcpcd", "ip", "bridge", "vlan", "dummy", "wireguard", "nftables", "iptables", "ipset", "conntrack",
        "ethtool", "dnsmasq", "unbound", "dig", "radvd", "keepalived", "haproxy", "nginx", "tinyproxy", "stunnel",
        "socat", "curl", "rsync", "iperf3", "tcpdump",
    ),
    "Storage": (
        "losetup", "format", "mount", "extend", "swap", "zram", "lvm", "mdadm", "dm-crypt", "verity", "btrfs", "xfs",
        "nbd-server", "nbd-client", "iscsi-target", "iscsi", "nfs-server", "nfs", "trim-after-delete",
    ),
    "Access and logs": ("getty", "sshd", "kmsg", "memlogd", "logwrite", "syslog", "rsyslog", "auditd"),
    "Figures": ("node_exporter", "sysstat", "procps", "lsof", "bpftool"),
    "Databases and messages": ("redis", "memcached", "postgresql", "sqlite", "mosquitto"),
    "Containers and virtual machines": (
        "runc", "crun", "containerd", "podman", "tini", "qemu-ga", "vsudd", "swtpm", "tss",
    ),
    "Languages and data": ("python3", "lua", "perl", "jq", "openssl"),
    "Finding faults and load": ("strace", "gdb", "fio", "stress-ng"),
}  # fmt: skip
_INTRODUCTION = """\
# The library

Made by `python -m harness.spec.catalogue > docs/library.md`; change `harness/components/` instead. How a component is
made, and one of your own, is in [components.md](components.md).

All are built from Debian packages for x86_64, arm64 and s390x. Where a description has a word in CAPITALS, it is set in
`env`; what it reads below `/etc` are `files` of the image. `harness library show NAME` says all of one, its size too.
`harness matrix cases/library.yml` boots them all, several in an image, and checks that each does its job. The checks
are in `cases/library/`; the images, `cases/images/library-*.yml`, show how each one is used.
"""
_HEAD = "| component | what it is | section | capabilities | kernel modules |\n| --- | --- | --- | --- | --- |\n"


def catalogue() -> str:
    """Return the whole page."""
    found = {name: load_component(path) for name, path in library().items()}
    page = [_INTRODUCTION]
    for title, names in GROUPS.items():
        page += [f"\n## {title}\n", _HEAD, *(_row(found[name]) for name in names)]
    return "".join(page)


def _row(component: ComponentSpec) -> str:
    cells = (f"`{component.name}`", component.description, component.place, *_needs(component))
    shown = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {shown} |\n"


def _needs(component: ComponentSpec) -> Iterator[str]:
    capabilities = (name.removeprefix("CAP_") for name in component.config.capabilities or ())
    modules = () if component.kernel else component.modules
    yield from (", ".join(names) or "–" for names in (capabilities, modules))


if __name__ == "__main__":
    print(catalogue(), end="")
