"""Bench of hosts: what is otherwise of a host and must not move an exact boot; what of its inputs does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.arch import by_name
from harness.bench.context import IMAGES, Context, FigureOrTable, command
from harness.bench.figures import BenchFigure, Table
from harness.errors import HarnessError
from harness.launch.exact import exact_boot
from harness.measure.phases import READY
from harness.spec import load_machine
from harness.system.record import BootRecord, first_difference

MACHINE = "qemu-arm64"
LONGEST_S = 300.0


@dataclass(frozen=True)
class HostVariation:
    """Something of a host that is otherwise: variables of the environment, or what starts the command."""

    what: str
    env: Mapping[str, str] = field(default_factory=dict)
    starter: tuple[str, ...] = ()


OTHER_NAME = ("unshare", "--user", "--map-root-user", "--uts", "sh", "-c", 'hostname another; exec "$@"', "sh")
HOSTS = (
    HostVariation("another time zone and language", {"TZ": "Asia/Kathmandu", "LC_ALL": "C"}),
    HostVariation(
        "a processor without AVX, AVX2, AVX512, BMI, ERMS, as the C library sees it",
        {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-BMI1,-BMI2,-ERMS,-FSRM"},
    ),
    HostVariation("no network", starter=("unshare", "--user", "--map-current-user", "--net")),
    HostVariation("another host name", starter=OTHER_NAME),
    HostVariation("addresses of programs that are not random", starter=("setarch", "-R")),
    HostVariation("the lowest priority", starter=("nice", "-n", "19")),
    HostVariation("few file descriptors and no core files", starter=("prlimit", "--nofile=256", "--core=0")),
)
# What a figure belongs to: the value of a machine's key that is varied.
INPUTS: dict[str, object] = {"memory": 512, "cpu": "cortex-a72", "network": False, "machine": "virt,its=off"}


def hosts(context: Context) -> Iterator[FigureOrTable]:
    """Boot `minimal` under each variation of the host, and with each input changed."""
    machine = load_machine(MACHINE)
    image, _ = context.cell("minimal", MACHINE)
    assert by_name(machine.arch) is image.arch
    context.say("hosts: as it is")
    plain = exact_boot(image, machine, context.folder("hosts", "plain"), timeout=LONGEST_S)
    for number, one in enumerate(HOSTS[: context.times(len(HOSTS), 2)]):
        context.say(f"hosts: {one.what}")
        yield _moved(one, plain, context.folder("hosts", str(number)).as_posix())
    rows = []
    for key, value in list(INPUTS.items())[: context.times(len(INPUTS), 1)]:
        context.say(f"hosts: {key} {value}")
        other = exact_boot(image, machine.driven(**{key: value}), context.folder("inputs", key), timeout=LONGEST_S)
        rows.append((f"{key}: {value}", f"{_us(plain, other) / 1000:+.3f}", str(first_difference(plain, other))))
    yield Table(
        "What moves it: inputs, changed one at a time", ("input", "ms", "the first difference named"), tuple(rows)
    )


def _us(plain: BootRecord, other: BootRecord) -> int:
    return (other.ready_us or 0) - (plain.ready_us or 0)


def _moved(one: HostVariation, plain: BootRecord, folder: str) -> BenchFigure:
    """Return by how many µs `ready` moved, and whether every byte of the console up to it is the same."""
    words = ["boot", str(IMAGES["minimal"]), "-m", MACHINE, "--exact", "--json", "-o", folder]
    ran = command(words, {**os.environ, **one.env}, one.starter)
    if ran.code:
        return BenchFigure(one.what, "µs", skipped=ran.words.splitlines()[-1][:100] if ran.words else "it failed")
    try:
        found = BootRecord.from_json(json.loads(ran.stdout)["records"][0])
    except (ValueError, KeyError, IndexError) as error:
        raise HarnessError(f"harness boot did not print a record: {error}") from error
    same = found.console_sha256_ready == plain.console_sha256_ready
    note = f"{READY} {(found.ready_us or 0) / 1000:.3f} ms"
    broken = "" if same and found.inputs == plain.inputs else "another console up to ready, or other inputs"
    return BenchFigure(one.what, "µs", (float(abs(_us(plain, found))),), 0.0, note, broken)
