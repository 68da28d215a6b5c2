"""What `./run bench attribution` injects: causes with what must be said of them, and edits without one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.measure.account import IDLE

PROBE_TURNS = 1000
# each costs more than 1 ms on each architecture
WORDS = (
    "slub_debug=FZP", "initcall_debug", "slub_debug=FP", "slub_debug=F", "slub_debug=Z", "slub_debug=P",
    "slub_debug=FZ",
)  # fmt: skip
IDLES_US = 200  # of each that may idle longer, so that a script's length tells nothing
MODULES = ("nf_tables", "br_netfilter")
CPUS = {"arm64": "cortex-a72", "s390x": "qemu", "x86_64": "Nehalem,+rdrand"}
MEMORY = 512  # MiB
BALLAST, MEGABYTES = "ballast-{}", (5, 1)  # files beside the YAML, and their sizes
Containers = Mapping[str, int]


@dataclass(frozen=True)
class Side:
    """An image of a trial, and the machine's changes: turns of a shell's loop in each container, and how many µs each
    idles first, files, words on the command line, the root's compression. ``after``: turns in web once it is healthy.

    web takes by far the longest, so job, which starts beside it, has slack.
    """

    services: Containers = field(default_factory=lambda: {"web": 2_000, "job": 60})
    prep: int = 200
    idles: Containers = field(default_factory=dict)
    after: int = 0
    files: str = ""
    words: str = ""
    compression: str = "lz4-fast"
    machine: tuple[tuple[str, object], ...] = ()

    def yaml(self) -> str:
        """Return the image as YAML."""
        services = "".join(
            self._container(name, turns, after=self.after if turns >= 1_000 else None, stays=True)
            for name, turns in self.services.items()
        )
        return (f'kernel: {{image: kernel, cmdline: "quiet cryptomgr.notests{self.words}"}}\ninit: [init]\n'
                f'onboot:\n{self._container("prep", self.prep)}services:\n{services}'
                f'{"files:" if self.files else ""}\n{self.files}')  # fmt: skip

    def _container(self, name: str, turns: int, *, after: int | None = None, stays: bool = False) -> str:
        loop = f"usleep {self.idles.get(name, IDLES_US):06d}; {_turns(turns)}echo up"
        later = "" if after is None else _turns(after)
        rest = (
            f'{loop}; {later}exec sleep 100000"]\n    annotations: {{harness.health: "log:up"}}\n'
            if stays
            else f'{loop}"]\n'
        )
        return f'  - name: {name}\n    image: busybox\n    command: [/bin/sh, -c, "{rest}'


def _turns(count: int) -> str:
    # one length, however many: a longer script makes each turn of a loop before it cost busybox's shell 0.2 µs more
    return f"i=0; while [ $i -lt {count:06d} ]; do i=$((i+1)); done; "


BASE = Side()


@dataclass(frozen=True)
class Injected:
    """A change with a cause, and what must be said of it.

    ``owner``: how the name of who is blamed begins (empty: anybody, of what no container does). ``us``: how many µs
    more each of these must be told to use. ``answer``: empty where the sign of the plain boots' difference is all that
    is known. ``differ``: what must be among the inputs that are said to differ, ``because`` what the cause must say.
    """

    what: str
    after: Side
    owner: str = ""
    answer: str = "worse"
    us: Mapping[str, float] = field(default_factory=dict)
    before: Side = BASE
    differ: str = ""
    because: str = ""
    renamed: str = ""


def probe() -> Side:
    """Return the image whose web turns `PROBE_TURNS` times more than the base's."""
    return _more("web", PROBE_TURNS)


def _more(name: str, turns: int, side: Side = BASE) -> Side:
    if name == "prep":
        return replace(side, prep=side.prep + turns)
    return replace(side, services={**side.services, name: side.services[name] + turns})


def causes(arch: str, turn_us: Mapping[str, float]) -> list[Injected]:
    """Return the 40 injected causes; `turn_us` is what a turn of the loop costs, in web and in prep."""
    found = [*_work(turn_us), *_time(), *_bytes(), *_lists()]
    inputs = (
        Injected(f"memory of {MEMORY} MiB", replace(BASE, machine=(("memory", MEMORY),)), answer="",
                 differ="memory: "),
        Injected(f"the CPU model {CPUS[arch]}", replace(BASE, machine=(("cpu", CPUS[arch]),)), answer="",
                 differ="cpu: "),
        Injected("zstd in the place of lz4", replace(BASE, compression="zstd"), differ="the compression changed"),
    )  # fmt: skip
    return [*found, *inputs]


def _work(turn_us: Mapping[str, float]) -> Iterator[Injected]:
    def work(name: str, owner: str, us: int) -> Injected:
        turns = round(us / turn_us[name])
        what = f"{us / 1000:+g} ms in {'a service' if name == 'web' else 'an onboot'}"
        answer = "worse" if us > 0 else "better"
        return Injected(what, _more(name, turns), owner, answer, {owner: turns * turn_us[name]})

    for us in (100, 200, 500, 1_000, 2_000, 10_000, -100, -1_000):
        yield work("web", "services/web", us)
    for us in (100, 200, 500, 1_000, 2_000, 10_000, -1_000):
        yield work("prep", "onboot/prep", us)
    for turns in (150, 700):
        yield Injected(f"{turns} turns after the last health", replace(BASE, after=turns), answer="same")
    web, prep = round(1_000 / turn_us["web"]), round(500 / turn_us["prep"])
    sizes = {"services/web": web * turn_us["web"], "onboot/prep": -prep * turn_us["prep"]}
    two = _more("prep", -prep, _more("web", web))
    yield Injected("+1 ms in a service and -0.5 in an onboot", two, "services/web", "worse", sizes)
    web, prep = round(-2_000 / turn_us["web"]), round(3_000 / turn_us["prep"])
    sizes = {"services/web": web * turn_us["web"], "onboot/prep": prep * turn_us["prep"]}
    two = _more("prep", prep, _more("web", web))
    yield Injected("+3 ms in an onboot and -2 in a service", two, "onboot/prep", "worse", sizes)


def _time() -> Iterator[Injected]:
    for us in (5_000, 50_000):
        yield Injected(f"an onboot idles {us / 1000:g} ms more", _idles("prep", us), IDLE, us={IDLE: us},
                       because="until onboot/prep goes on")  # fmt: skip
    yield Injected("the last service idles 20 ms more", _idles("web", 20_000), IDLE, because="until services/web")
    yield Injected("a service with slack idles 2 ms more", _idles("job", 2_000), answer="same")


def _idles(name: str, us: int) -> Side:
    return replace(BASE, idles={name: IDLES_US + us})


def _bytes() -> Iterator[Injected]:
    for megabytes in MEGABYTES:
        source = f"  - path: opt/ballast\n    source: {BALLAST.format(megabytes)}\n"
        ballast = replace(BASE, files=source)
        unpacks = "work/async_run_entry_fn"
        yield Injected(f"{megabytes} MB that nobody reads", ballast, unpacks)
        yield Injected(f"{megabytes} MB that nobody read are gone", BASE, unpacks, "better", before=ballast)
    for module in MODULES:
        loads = f"  - path: etc/modules\n    contents: {module}\n"
        yield Injected(f"the module {module}", replace(BASE, files=loads), "module/")
    for word in ("slub_debug=FZP", "initcall_debug", "init_on_alloc=1", "loglevel=7"):
        yield Injected(f"the word {word}", replace(BASE, words=f" {word}"), differ=word)


def _lists() -> Iterator[Injected]:
    base = BASE.services
    yield Injected("a service more", replace(BASE, services={**base, "third": 60}), "services/third")
    yield Injected("a service less", replace(BASE, services={"web": base["web"]}), "services/job", "better")
    yield Injected("a service has another name", replace(BASE, services={"wob": base["web"], "job": base["job"]}),
                   answer="same", renamed="services/web")  # fmt: skip
    yield Injected("two services swapped", replace(BASE, services=dict(reversed(list(base.items())))), answer="same")


def write_ballast(folder: Path) -> None:
    """Write the files that some of the images take in, beside their YAML."""
    for megabytes in MEGABYTES:
        (folder / BALLAST.format(megabytes)).write_text(_letters(megabytes * 1_000_000, 1))


def _letters(size: int, seed: int) -> str:
    letters = "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=min(size, 20_000)))
    return (letters * (size // len(letters) + 1))[:size]


def _file(path: str, size: int, seed: int) -> str:
    return f"  - path: {path}\n    contents: {_letters(size, seed)}\n"


def edits(count: int, seed: int) -> Iterator[tuple[str, Side]]:
    """Yield edits without a cause: new files, other names, other orders, other texts, and the same built once more."""
    base, names = BASE, random.Random(seed)
    for number in range(count):
        word = "".join(names.choices("abcdefghij", k=6))
        yield (
            (f"a file of {number + 1} kB", replace(base, files=_file(f"etc/{word}", 1000 * (number + 1), number))),
            ("a service has another name", replace(base, services={word: 2_000, "job": 60})),
            ("another text of one length", replace(base, files=f"  - path: etc/{word}\n    contents: {word}\n")),
            ("services in another order", replace(base, services={"job": 60, word: 2_000})),
            (f"{number} empty files", replace(base, files="".join(
                f"  - path: etc/{word}/{each}\n    contents: ''\n" for each in range(number)))),
        )[number % 5]  # fmt: skip


def in_slack() -> list[tuple[str, Side]]:
    """Return changes in slack: idling beside another that works, and work after all are healthy.

    On one processor work is in nobody's slack: so the last alone does more.
    """
    later = [(f"{turns} turns after health", replace(BASE, after=turns)) for turns in (300, 1_000, 3_000)]
    return later + [(f"idles {us / 1000:g} ms more", _idles("job", us)) for us in (300, 500, 1_000, 4_000)]
