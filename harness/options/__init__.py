"""The table of options: one row says all of an option, and who takes it.

The command line, pytest's options, the shell's completion and docs/commands.md are made from it. It imports nothing
heavy: every start of pytest in an environment that has the harness reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.options.row import NUMBERS, Completes, Option, limited, limits, number_of, path_of

if TYPE_CHECKING:
    from harness.build.settings import Settings

__all__ = ["NUMBERS", "Completes", "Option", "limited", "limits", "number_of", "path_of"]
SETTINGS = "settings"  # the parameter of a command's function that holds all build settings
COMPRESSIONS = ("lz4", "lz4-fast", "zstd", "gzip", "xz")

BUILDERS = (
    "build", "boot", "matrix", "compare", "bisect", "calibrate", "certify", "verify", "sbom", "outdated", "machine",
    "library", "push",
)  # fmt: skip
JSON_TAKERS = (
    "build", "boot", "matrix", "compare", "calibrate", "certify", "sbom", "outdated", "machine", "lint", "cache",
    "library", "add", "verify", "profile", "doctor", "clean", "results", "history", "baseline", "push", "pull",
)  # fmt: skip
IMAGE_WORDS = "YAML files, merged in order; a built folder; or a shipped image's name."
YAML_WORDS = "YAML files, merged in order; or a shipped image's name."
MACHINE_WORDS = "A machine's name, or its YAML."

# How images are built. Every command that builds takes all of them, and pytest too.
BUILD = (
    Option(name="mirror", commands=BUILDERS, env="HARNESS_MIRROR", metavar="URL [SUITE…]", under_pytest=True,
           shown="the host's own apt sources", help="Package mirror; several are parted by commas."),
    Option(name="keyring", commands=BUILDERS, env="HARNESS_KEYRING", kind="path", metavar="FILE", under_pytest=True,
           shown="Debian's", help="Keys that the mirror is signed by."),
    Option(name="suite", commands=BUILDERS, env="HARNESS_SUITE", metavar="NAME", under_pytest=True, shown="bookworm",
           help="Debian suite that the components come from."),
    Option(name="registry", commands=(*BUILDERS, "pull"), env="HARNESS_REGISTRY", metavar="HOST[:PORT]",
           under_pytest=True, help="OCI registry of image names that say none."),
    Option(name="compression", commands=BUILDERS, words=COMPRESSIONS, metavar="NAME", under_pytest=True,
           shown="lz4-fast", help="Of the root filesystem: lz4, lz4-fast, zstd, gzip, xz."),
    Option(name="lock", commands=BUILDERS, kind="path", metavar="FILE", under_pytest=True,
           help="Honour this lock of package versions; written when absent."),
    Option(name="refresh", commands=BUILDERS, kind="flag", under_pytest=True,
           help="Ask mirrors and registries anew what is the newest."),
    Option(name="offline", commands=BUILDERS, kind="flag", under_pytest=True, help="Never touch the network."),
    Option(name="library", commands=(*BUILDERS, "lint"), kind="flag", under_pytest=True,
           help="Let the library's components stand for LinuxKit's and some public images."),
    Option(name="cache", commands=(*BUILDERS, "clean", "doctor", "cache", "pull"), env="HARNESS_CACHE", kind="path",
           metavar="DIR", under_pytest=True, shown="~/.cache/harness", help="The cache's folder."),
)  # fmt: skip

ARGUMENTS = (
    Option(name="images", argument=True, many=True, required=True, commands=("boot",), metavar="IMAGE…",
           completes="images", help=IMAGE_WORDS),
    Option(name="images", argument=True, many=True, required=True, commands=("build", "outdated", "calibrate"),
           metavar="IMAGE…", completes="images", help=YAML_WORDS),
    Option(name="image", argument=True, commands=("certify",), metavar="IMAGE", completes="images", help=YAML_WORDS),
    Option(name="words", argument=True, many=True, commands=("push",), metavar="IMAGE… REFERENCE", completes="images"),
    Option(name="reference", argument=True, required=True, commands=("pull",), metavar="REFERENCE",
           help="Where `push` has put it: HOST/NAME:TAG, or with a digest."),
    Option(name="words", argument=True, many=True, commands=("sbom",), metavar="IMAGE… | scan IMAGE… | diff A B",
           words=("diff", "scan"), completes="images", help=f"{IMAGE_WORDS} diff takes SBOM files too."),
    Option(name="before", argument=True, required=True, commands=("compare",), metavar="A", completes="sides",
           help="An image (A.yml+B.yml, a built folder), a run, results or a record."),
    Option(name="after", argument=True, required=True, commands=("compare",), metavar="B", completes="sides",
           help="What it is compared with."),
    Option(name="old", argument=True, required=True, commands=("bisect",), metavar="OLD",
           help="What was good: a commit, a lock, or a figure in ms (313.822)."),
    Option(name="new", argument=True, required=True, commands=("bisect",), metavar="NEW",
           help="What was bad, of the same kind."),
    Option(name="files", argument=True, many=True, required=True, kind="path", commands=("lint",), metavar="FILE…",
           completes="files", help="YAML of any kind, or folders of them."),
    Option(name="kind", argument=True, required=True, commands=("schema",), metavar="KIND",
           completes="kinds",
           help="image, component, machine, plan, os, profile, waivers, policy, cluster or results."),
    Option(name="action", argument=True, required=True, commands=("cache",), metavar="export|import|verify",
           words=("export", "import", "verify")),
    Option(name="action", argument=True, required=True, commands=("metadata",), metavar="create", words=("create",)),
    Option(name="file", argument=True, required=True, kind="path", commands=("metadata",), metavar="FILE.iso",
           completes="files", help="The CD, which must not exist."),
    Option(name="data", argument=True, required=True, kind="path", commands=("metadata",), metavar="USER-DATA",
           completes="files", help="What the component `metadata` finds on it."),
    Option(name="folder", argument=True, kind="path", commands=("init",), default=Path(), metavar="[FOLDER]",
           completes="files", help="Made where it is missing; without it, here."),
    Option(name="ci", commands=("init",), default="github", metavar="NAME",
           words=("github", "gitlab", "jenkins", "systemd", "cron", "none"),
           help="What runs the plan: github, gitlab, jenkins, systemd (a timer), cron or none."),
    Option(name="folder", argument=True, required=True, kind="path", commands=("man",), metavar="FOLDER",
           completes="files", help="The pages go to its man1; man -M FOLDER harness shows one."),
    Option(name="folder", argument=True, kind="path", commands=("cache",), metavar="[FOLDER]",
           completes="files", help="Where the downloads go to, or come from; verify takes none."),
    Option(name="action", argument=True, required=True, commands=("library",), metavar="list|show|search",
           words=("list", "show", "search")),
    Option(name="words", argument=True, many=True, commands=("library",), metavar="[NAME… | WORD…]",
           completes="components"),
    Option(name="names", argument=True, many=True, required=True, commands=("new",), metavar="NAME…",
           completes="components", help="Components, or container images."),
    Option(name="component", argument=True, required=True, commands=("add",), metavar="COMPONENT",
           completes="components", help="A component, or a container image."),
    Option(name="file", argument=True, required=True, kind="path", commands=("add",), metavar="FILE.yml",
           completes="files", help="The image's YAML."),
    Option(name="action", argument=True, required=True, commands=("machine",), metavar="ACTION",
           words=("list", "check", "free", "on", "off", "cycle", "console", "take", "give")),
    Option(name="names", argument=True, many=True, commands=("machine",), metavar="[MACHINE…]", completes="machines"),
    Option(name="words", argument=True, many=True, commands=("matrix",), metavar="[PLAN] [-- PYTEST ARGUMENTS]",
           completes="plans"),
    Option(name="action", argument=True, required=True, commands=("results",), metavar="merge", words=("merge",)),
    Option(name="folders", argument=True, many=True, required=True, kind="path", commands=("results",),
           metavar="FOLDER…", completes="files", help="What each host's --results wrote."),
    Option(name="words", argument=True, many=True, commands=("history",),
           metavar="[IMAGE | VERB WORDS]", words=("import", "export", "drop", "note", "ack", "rename"),
           completes="history"),
    Option(name="action", argument=True, required=True, commands=("baseline",), metavar="accept|list|remove",
           words=("accept", "list", "remove")),
    Option(name="run", argument=True, commands=("baseline",), metavar="[RUN|NUMBER]", completes="runs",
           help="The run's id, its beginning, or latest; to remove, the baseline's number."),
    Option(name="folder", argument=True, kind="path", commands=("report",), metavar="[RESULTS]", completes="files",
           shown="results/latest"),
    Option(name="evidence", argument=True, required=True, kind="path", commands=("verify",), metavar="EVIDENCE",
           completes="files", help="What harness certify has written."),
    Option(name="action", argument=True, required=True, commands=("profile",), metavar="list|show",
           words=("list", "show")),
    Option(name="action", argument=True, required=True, commands=("cluster",), metavar="certificates|scheduler|worker",
           words=("certificates", "scheduler", "worker")),
    Option(name="place", argument=True, required=True, commands=("cluster",), metavar="DIR|URL",
           help="certificates: the folder to write; else the scheduler's tls://HOST:PORT."),
    Option(name="name", argument=True, commands=("profile",), metavar="[NAME|FILE]", completes="profiles"),
    Option(name="command", argument=True, commands=("help",), metavar="[COMMAND]", completes="commands"),
    Option(name="shell", argument=True, required=True, commands=("completion",), metavar="bash|zsh|fish",
           words=("bash", "zsh", "fish")),
)  # fmt: skip

RUNNERS = ("matrix", "certify", "verify")
BOOTS = (
    Option(name="machine", short="m", commands=("calibrate",), required=True, metavar="MACHINE",
           completes="machines", help=MACHINE_WORDS),
    Option(name="machine", short="m", commands=("boot",), metavar="MACHINE", completes="machines",
           shown="QEMU's of the image's or this host's architecture", help=MACHINE_WORDS),
    Option(name="machine", short="m", commands=("certify",), metavar="MACHINE", completes="machines",
           help=MACHINE_WORDS),
    Option(name="size", commands=("outdated",), kind="flag", help="Build both, and say by how much the size changes."),
    Option(name="machine", short="m", commands=("outdated",), many=True, metavar="MACHINE", completes="machines",
           help="Boot both on it, and say by how much the exact time changes."),
    Option(name="machine", short="m", commands=("compare",), many=True, metavar="MACHINE", completes="machines",
           help="For images: one, or one each."),
    Option(name="image", commands=("bisect",), required=True, metavar="IMAGE", completes="images", help=YAML_WORDS),
    Option(name="machine", short="m", commands=("bisect",), required=True, metavar="MACHINE", completes="machines",
           help=MACHINE_WORDS),
    Option(name="figure", short="f", commands=("bisect",), default="total", metavar="NAME",
           help="The exact figure that moved, as harness history calls it."),
    Option(name="exact", commands=("boot",), kind="flag", help="Two counted boots: exact times, and their proof."),
    Option(name="explain", commands=("boot",), kind="flag", help="Where its time goes, down to initcalls and modules."),
    Option(name="explain", commands=("compare",), kind="flag", help="Look at every initcall and module in any case."),
    Option(name="explain", commands=("matrix",), kind="flag", under_pytest=True,
           help="Also boot step by step: a change in a later run is named."),
    Option(name="run", commands=("boot",), metavar="COMMAND",
           help="Run this command in the system, print what it says, end."),
    Option(name="append", commands=("boot",), many=True, metavar="WORD",
           help="A word more for the kernel's command line."),
    Option(name="forward", commands=("boot",), many=True, kind="port", metavar="PORT",
           help="Reach this TCP port of the guest on 127.0.0.1, at a free port."),
    Option(name="publish", commands=("boot",), many=True, kind="ports", metavar="HOST:GUEST[/udp]",
           help="Reach this port of the guest on 127.0.0.1, at this one of the host."),
    Option(name="timeout", commands=("boot",), kind="number", default=120.0, least=0.1, most=86400,
           metavar="SECONDS", help="Seconds until it must be ready."),
    Option(name="runs", commands=("boot",), kind="whole number", default=1, least=1, most=1000, metavar="N",
           help="Boot so often: wall times as medians."),
    Option(name="within", commands=("boot",), kind="number", least=0.1, most=100, metavar="PERCENT",
           help="Stop once ready is known to this percentage."),
    Option(name="disks", commands=("boot",), kind="path", metavar="DIR",
           help="Keep the machine's disks here, from boot to boot."),
    Option(name="memory", commands=("boot",), metavar="SIZE",
           help="Memory of a QEMU machine, in place of its YAML's: 512M, 2G."),
    Option(name="cpus", commands=("boot",), kind="whole number", least=1, most=64, metavar="N",
           help="Processors of a QEMU machine, in place of its YAML's."),
    Option(name="disk", commands=("boot",), many=True, metavar="SIZE",
           help="One more disk of a QEMU machine: 512M, 2G."),
    Option(name="data", commands=("boot",), kind="path", metavar="FILE",
           help="Give the image this user-data, on a CD labelled cidata."),
    Option(name="pairs", commands=("compare",), kind="whole number", default=0, least=0, most=1000, metavar="N",
           help="Compare wall times of this many pairs of boots instead."),
    Option(name="image", commands=("machine",), many=True, metavar="IMAGE", completes="images", shown="minimal",
           help="The image that `check` boots."),
    Option(name="until", commands=("machine",), metavar="WHEN",
           help="`take` it until 18:00, for 2h, or until a date and time."),
    Option(name="why", commands=("machine",), default="", metavar="TEXT", help="What others are told of a `take`."),
    Option(name="force", commands=("machine",), kind="flag", help="`give` back what somebody else has taken."),
)  # fmt: skip

RUNS = (
    Option(name="plan", commands=(), kind="path", metavar="FILE", under_pytest=True,
           help="A plan's YAML: images x machines, budgets."),
    Option(name="image", commands=("matrix",), many=True, metavar="IMAGE", completes="images", under_pytest=True,
           help="Only this image of the plan, by name or path; without a plan, this image."),
    Option(name="machine", short="m", commands=("matrix",), many=True, metavar="MACHINE", completes="machines",
           under_pytest=True, help="Only this machine of the plan; without a plan, this machine."),
    Option(name="results", commands=("matrix", "certify"), kind="path", metavar="DIR", shown="results/TIME",
           under_pytest=True, help="Where results and transcripts go."),
    Option(name="keyword", short="k", commands=("matrix",), default="", metavar="WORDS",
           help="Only cases that match, as pytest's -k."),
    Option(name="workers", short="n", commands=("matrix", "cluster"), kind="whole number", least=0, most=1000,
           metavar="N", shown="by cores and memory", help="Cases side by side; of a cluster's worker, cells."),
    Option(name="timeout-multiplier", commands=RUNNERS, kind="number", default=1.0, least=0.01, most=1000,
           metavar="N", under_pytest=True, help="Multiply every time limit, for slow hosts."),
    Option(name="resume", commands=("matrix",), kind="flag", under_pytest=True,
           help="Go on with the run in --results (or the latest): finished cells stay."),
    Option(name="deadline", commands=("matrix",), metavar="WHEN",
           help="End then with what is done: 06:30, 8h, 2026-12-01T06:30."),
    Option(name="quarantine", commands=("matrix",), kind="flag", under_pytest=True,
           help="Cases that are flaky by the history do not count."),
    Option(name="shard", commands=("matrix",), metavar="I/N|auto", under_pytest=True,
           help="Run the I-th of N parts, each on its own host; auto: as a CI service says."),
    Option(name="durations-of", commands=("matrix",), kind="path", metavar="FILE", under_pytest=True,
           help="Split by the durations in this results.json."),
    Option(name="cluster", commands=("matrix",), metavar="URL|FILE", under_pytest=True, completes="files",
           help="Run the cells on the hosts of this cluster (docs/cluster.md)."),
    Option(name="certificates", commands=("matrix", "cluster"), kind="path", metavar="DIR", under_pytest=True,
           completes="files", help="The cluster's certificates."),
    Option(name="board", commands=("cluster",), many=True, metavar="NAME", completes="machines",
           help="Of a worker: a board that this host holds."),
    Option(name="against", commands=("matrix", "results"), metavar="BASELINE", completes="baselines",
           help="Fail on what is worse: latest-baseline, a run, a folder."),
    Option(name="pair-minutes", commands=("matrix",), kind="number", default=20.0, least=0, most=1440, metavar="N",
           help="For --against: how long pairs of boots of both images may take together."),
    Option(name="slack", commands=("matrix", "compare"), kind="flag",
           help="A service that takes longer counts, though ready waits for another."),
    Option(name="no-history", commands=("matrix", "results"), kind="flag", help="Keep this run out of the history."),
    Option(name="no-history", commands=("calibrate",), kind="flag", help="Only print the floors."),
    Option(name="partial", commands=("results",), kind="flag", help="Do without the shards that are missing."),
    Option(name="machine", short="m", commands=("history",), metavar="MACHINE", completes="machines",
           help="Only this machine."),
    Option(name="figure", short="f", commands=("history",), metavar="NAME",
           help="Only this figure; of one cell, in detail."),
    Option(name="mode", commands=("history",), metavar="NAME", help="Only exact, wall or size."),
    Option(name="last", commands=("history",), kind="whole number", default=30, least=1, most=1_000_000, metavar="N",
           help="How many runs to show."),
    Option(name="all-keys", commands=("history",), kind="flag", help="Earlier keys too: another QEMU, another line."),
    Option(name="runs", commands=("history",), kind="flag", help="List the runs."),
    Option(name="reason", commands=("baseline",), default="", metavar="TEXT", help="Why its figures are accepted."),
    Option(name="image", commands=("baseline",), metavar="NAME", help="Only for this image of the run."),
    Option(name="machine", short="m", commands=("baseline",), metavar="NAME", completes="machines",
           help="Only for this machine of the run."),
    Option(name="over-time", commands=("report",), kind="flag", help="Of all runs in the history, not of one."),
    Option(name="history", commands=("matrix", "results", "compare", "calibrate", "history", "baseline", "report"),
           metavar="FILE|URL", env="HARNESS_HISTORY", under_pytest=True, help="The history."),
)  # fmt: skip

REST = (
    Option(name="arch", commands=("build",), many=True, metavar="NAME", completes="architectures", shown="all",
           help="all, host, or some of x86_64, arm64, s390x."),
    Option(name="arch", commands=("pull",), many=True, metavar="NAME", completes="architectures",
           shown="all that it has", help="all, host, or some of x86_64, arm64, s390x."),
    Option(name="arch", commands=("sbom", "outdated", "push"), many=True, metavar="NAME", completes="architectures",
           shown="host", help="all, host, or some of x86_64, arm64, s390x."),
    Option(name="supplier", commands=("sbom",), metavar="NAME", env="HARNESS_SUPPLIER", default="",
           help="Who supplies the image: NAME or 'NAME <ADDRESS>'."),
    Option(name="scanner", commands=("sbom",), metavar="COMMAND", default="", shown="grype, trivy or cve-bin-tool",
           help="For scan: the command that reads the bill, in which {} stands for its path."),
    Option(name="format", commands=("build",), many=True, metavar="NAME", shown="kernel+initrd",
           completes="formats", help="What the image shall be: one or several formats of docs/formats.md."),
    Option(name="format", commands=("boot", "push"), metavar="NAME", default="kernel+initrd", completes="formats",
           help="One of docs/formats.md."),
    Option(name="format", commands=("matrix",), many=True, metavar="NAME", shown="the plan's",
           completes="formats",
           help="Build and boot the images in these formats."),
    Option(name="verity", commands=("build", "boot", "matrix"), kind="flag",
           help="With a verified root: of the formats qcow2, raw, vhd and vmdk."),
    Option(name="explain-size", commands=("build",), kind="flag", help="Show what makes it large."),
    Option(name="format", commands=("sbom",), default="spdx", words=("spdx", "cyclonedx", "openvex"), metavar="NAME",
           help="spdx, cyclonedx or openvex."),
    Option(name="attestations", commands=("sbom",), kind="path", metavar="DIR",
           help="Copy what its OCI images bring: attestations, signatures, bills of their makers."),
    Option(name="vex", commands=("sbom",), kind="path", many=True, metavar="FILE",
           help="Statements on vulnerabilities (OpenVEX, CycloneDX) to put into a bill as CycloneDX."),
    Option(name="path", commands=("schema",), kind="flag", help="Only say where the file is that editors can read."),
    Option(name="section", commands=("add",), metavar="NAME", shown="the component's own",
           words=("kernel", "init", "onboot", "onshutdown", "services"),
           help="kernel, init, onboot, onshutdown or services."),
    Option(name="name", commands=("build",), metavar="NAME", shown="the first YAML's",
           help="What the image is called: two merges of one base do not replace each other."),
    Option(name="dry-run", commands=("build",), kind="flag", help="Only print the YAML that the files make together."),
    Option(name="name", commands=("add",), default="", metavar="NAME", shown="the component's",
           help="The container's name."),
    Option(name="profile", short="p", commands=("certify",), default="base", metavar="PROFILE", completes="profiles",
           help="A profile's name, or its YAML."),
    Option(name="key", commands=("certify",), env="HARNESS_KEY", metavar="FILE|agent[:FINGERPRINT]",
           shown="a key of your own, made once", help="Who signs."),
    Option(name="new-key", commands=("certify",), kind="path", metavar="FILE",
           help="Make a signing key, and do no more."),
    Option(name="waivers", commands=("certify",), kind="path", metavar="FILE", help="Excuses, with owner and end."),
    Option(name="key", commands=("push",), metavar="FILE|agent[:FINGERPRINT]", shown="nobody",
           help="Who signs that it is given out."),
    Option(name="key", commands=("pull",), many=True, metavar="FILE|LINE",
           help="Public keys, one of which must have signed it."),
    Option(name="evidence", commands=("push",), many=True, kind="path", metavar="FILE", completes="files",
           help="A certificate's evidence, to go with the image."),
    Option(name="key", commands=("verify",), kind="path", metavar="FILE",
           help="The public keys that you trust, one a line."),
    Option(name="profile", short="p", commands=("verify",), metavar="PROFILE", completes="profiles",
           help="The profile that you expect: its name, or its YAML."),
    Option(name="image", commands=("verify",), metavar="IMAGE", completes="images",
           help="The image that you expect: its YAML, built folder, digest or name."),
    Option(name="machine", short="m", commands=("verify",), metavar="MACHINE", completes="machines",
           help="The machine that you expect: its name, or its YAML."),
    Option(name="max-age", commands=("verify",), kind="whole number", least=1, most=36500, metavar="DAYS",
           help="How old it may be."),
    Option(name="no-waivers", commands=("verify",), kind="flag", help="Accept none that rests on a waiver."),
    Option(name="any-speaker", commands=("verify",), kind="flag",
           help="Accept that others than the image's init could have said `ready`."),
    Option(name="policy", commands=("verify",), kind="path", metavar="FILE", completes="files",
           help="A YAML file that says all of these."),
    Option(name="rebuild", commands=("verify",), kind="flag",
           help="Build the image again from the YAML and lock in it, and compare every byte."),
    Option(name="no-boot", commands=("verify",), kind="flag", help="Only check; boot nothing."),
    Option(name="qemu", commands=("verify",), kind="path", metavar="PATH", help="The QEMU that it was booted with."),
    Option(name="all", commands=("clean",), kind="flag", help="Downloads too: the next build needs the network."),
    Option(name="dry-run", commands=("clean",), kind="flag", help="Only say what would go."),
    Option(name="to", commands=("clean",), kind="number", least=0, most=1e9, metavar="MB",
           help="Only until it takes so much, the longest unused first."),
    Option(name="output", short="o", commands=("pull",), kind="path", metavar="DIR", shown="the current folder",
           help="Where the folders go."),
    Option(name="output", short="o", commands=("build",), kind="path", metavar="DIR",
           help="Copy the images to DIR/NAME-ARCH."),
    Option(name="output", short="o", commands=("boot",), kind="path", metavar="DIR",
           help="Keep transcript and record here."),
    Option(name="output", short="o", commands=("new",), kind="path", metavar="FILE",
           help="Into this file, which must not exist."),
    Option(name="output", short="o", commands=("sbom",), kind="path", metavar="FILE|DIR",
           help="Into this file; of several architectures, this folder."),
    Option(name="output", short="o", commands=("certify",), kind="path", metavar="FILE.tar.zst",
           shown="IMAGE-MACHINE-PROFILE.tar.zst", help="The evidence."),
    Option(name="output", short="o", commands=("results",), kind="path", metavar="DIR", required=True,
           help="Where the whole run goes."),
    Option(name="output", short="o", commands=("report",), kind="path", metavar="FILE.html", help="Where it goes."),
    Option(name="json", commands=JSON_TAKERS, kind="flag", help="Print JSON, for programs."),
)  # fmt: skip

OPTIONS = (*ARGUMENTS, *BOOTS, *RUNS, *REST[:-1], *BUILD, REST[-1])
UNDER_PYTEST = tuple(row for row in OPTIONS if row.under_pytest)


def of(command: str) -> list[Option]:
    """Return the rows of a command: its arguments first, then its options."""
    return [row for row in OPTIONS if command in row.commands]


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the build settings that options give; what they leave open is the environment's, or the default."""
    from harness.build.settings import Settings

    return Settings(**{row.key: value for row in BUILD if (value := given.get(row.key)) is not None})


def pytest_words(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words by which pytest gets the values of its options, by their keys; the others are left out."""
    for row in UNDER_PYTEST:
        value = given.get(row.key)
        if row.kind == "flag":
            yield from [row.pytest_name] if value else []
        elif row.many:
            yield from (f"{row.pytest_name}={one}" for one in value or ())
        elif value is not None and value != row.default:
            yield f"{row.pytest_name}={value:g}" if row.kind == "number" else f"{row.pytest_name}={value}"


def pytest_values(getoption: Any) -> dict[str, Any]:
    """Return what pytest was given, by the keys of the table; None where nothing was."""
    return {row.key: getoption(row.pytest_key) for row in UNDER_PYTEST}
