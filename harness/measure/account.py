"""Who used the processor while a system booted: every microsecond of a traced boot has one owner. Pure.

The trace records scheduler switches, forks, execs, work functions, initcalls and module loads. Between two events one
task runs, so each stretch is billed to that task alone: a kernel thread that runs while an initcall sleeps is not the
initcall. What an interrupt takes is billed to whom it interrupts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.errors import ImageError
from harness.measure.phases import Phase
from harness.measure.trace import TraceEvent

READY = "ready"
ENDS = (" done", " failed", " timeout")
IDLE = "idle"
UNTIL, GOES_ON = "until ", " goes on"  # who was waited for
TRACING = "less: the trace itself"
BETWEEN = "kernel, between initcalls"
FIRST_STAGE, INIT = "first stage", "init"
EARLY = "kernel, before its trace"
ASKING = "asking for health"
CONTAINERS = ("onboot", "services")
KERNEL = {"initcall": "initcalls", "work": "work functions", "thread": "threads", "module": "modules"}
BOOTING = -1  # the kernel before its first task
ASKERS = ("await",)
ASKING_PROGRAMS = ("timeout", "wget")  # by which init asks, once a service has started
_SELF = b"/proc/self/exe"  # busybox runs another of its applets

_SWITCH = re.compile(rb"sched_switch: prev_comm=(.*) prev_pid=(\d+) prev_prio=.* ==> next_comm=.* next_pid=(\d+) ")
_FORK = re.compile(rb"sched_process_fork: comm=.* pid=(\d+) child_comm=(.*) child_pid=(\d+)$")
_EXEC = re.compile(rb"sched_process_exec: filename=(\S+) pid=\d+ ")
_WORK = re.compile(rb"workqueue_execute_start: work struct \S+: function (\S+)")
_INITCALL = re.compile(rb"initcall_(start|finish): func=([\w.]{1,80})")
_LOADED = re.compile(rb"module_load: ([\w-]{1,64})")
_MARK = re.compile(rb"console: harness: ([\w./:@+-]+(?: [a-z]+(?= |$))?)")
_KTHREADD = 2
_THREAD_NUMBER = re.compile(r"[/:]\w+$")  # of a kworker


@dataclass(frozen=True)
class Stretch:
    """When one owner, or one `part` of it, had the processor (`IDLE`: nobody did), in µs of the log's clock."""

    start_us: int
    us: int
    owner: str
    part: str = ""


@dataclass
class _Task:
    """A task: for whom it works, the program that it runs, and what of the kernel runs in it now."""

    whose: str = ""
    program: str = ""
    thread: str = ""
    works: list[str] = field(default_factory=list)
    initcalls: list[str] = field(default_factory=list)
    module: str = ""

    def bill(self) -> tuple[str, str]:
        """Return owner and part of what runs now."""
        if self.works:
            return f"work/{self.works[-1]}", ""
        if self.thread:
            return f"thread/{self.thread}", ""
        if self.module:
            return f"module/{self.module}", ""
        if self.initcalls:
            return f"initcall/{self.initcalls[-1]}", ""
        return self.whose or BETWEEN, self.program


def stretches(events: Sequence[TraceEvent], ready_us: int) -> list[Stretch]:
    """Return who had the processor from the kernel's clock zero to `ready`, in order and without a gap.

    The trace has a clock of its own (on x86_64 some ms ahead of the log's): its event of the mark `ready` tells by how
    much. ImageError when the trace does not have that mark.
    """
    marks = [(event, _text(match[1])) for event in events if (match := _MARK.match(event.what))]
    ready = next((event for event, name in marks if name == READY), None)
    if ready is None:
        raise ImageError("the kernel's trace does not have the mark `ready`", hint="the kernel needs CONFIG_PRINTK")
    ahead = ready.us - ready_us
    tasks, last, running, found = _Tasks(events, marks), ahead, BOOTING, []
    for event in events:
        if event.us > last:
            found.append(Stretch(last - ahead, event.us - last, *tasks.bill(running, event)))
            last = event.us
        if event is ready:
            break
        running = tasks.follow(event, running)
    return _awaited(found)


def _awaited(found: Sequence[Stretch]) -> list[Stretch]:
    """Return stretches in which idling is until the next that is no thread of the kernel's goes on: one that wakes in
    between, as timers make it, ends no waiting. Where nobody else comes it is until that thread does."""
    named, awaited = [], ""
    for one in reversed(found):
        if one.owner == IDLE and one.part and awaited and _is_kernels(one.part.removeprefix(UNTIL)):
            one = replace(one, part=f"{UNTIL}{awaited}{GOES_ON}")
        elif one.owner != IDLE and not _is_kernels(one.owner):
            awaited = one.owner
        named.append(one)
    return named[::-1]


def _is_kernels(owner: str) -> bool:
    return owner.startswith(("thread/", "work/", BETWEEN))


def totals(found: Iterable[Stretch]) -> dict[str, int]:
    """Return each owner's µs, largest first; they add up to the whole."""
    spent: Counter[str] = Counter()
    for one in found:
        spent[one.owner] += one.us
    return dict(spent.most_common())


def parts(found: Iterable[Stretch]) -> dict[str, dict[str, int]]:
    """Return the µs of each owner's parts."""
    spent: dict[str, Counter[str]] = {}
    for one in found:
        spent.setdefault(one.owner, Counter())[one.part] += one.us
    return {owner: dict(counter.most_common()) for owner, counter in spent.items()}


def stacks(found: Iterable[Stretch]) -> dict[tuple[str, ...], int]:
    """Return the µs of each owner's parts as stacks for a flame graph: kernel, containers, init or idle, then who."""
    spent: Counter[tuple[str, ...]] = Counter()
    for one in found:
        kind, _, name = one.owner.partition("/")
        if one.owner == IDLE:
            stack: tuple[str, ...] = (IDLE,)
        elif kind in CONTAINERS:
            stack = ("containers", one.owner, one.part)
        elif one.owner in (INIT, FIRST_STAGE, ASKING):
            stack = ("init", one.owner, one.part)
        else:
            stack = ("kernel", KERNEL.get(kind, kind), name)
        spent[tuple(frame for frame in stack if frame)] += one.us
    return dict(spent.most_common())


def rows(found: Iterable[Stretch], line: Sequence[Phase]) -> list[Phase]:
    """Return what each owner used in each phase of the main line, as phases under it: they add up to the phase.

    A row begins where its owner first ran.
    """
    spent: dict[tuple[str, str], tuple[int, int]] = {}
    around = [phase for phase in line if not phase.under and phase.us]
    for one in found:
        for phase in around:
            begin = max(one.start_us, phase.start_us)
            us = min(one.start_us + one.us, phase.start_us + phase.us) - begin
            if us > 0:
                start, so_far = spent.get((phase.name, one.owner), (begin, 0))
                spent[phase.name, one.owner] = (start, so_far + us)
    made = [Phase(owner, start, us, under=under) for (under, owner), (start, us) in spent.items()]
    return sorted(made, key=lambda phase: (phase.start_us, phase.name))


def explained(plain: Sequence[Phase], traced: Sequence[Phase], inner: Sequence[Phase]) -> list[Phase]:
    """Return a plain boot's main line with the rows of a traced one, and in each phase what the trace itself cost.

    So the rows of a phase add up to it, and the cost of looking is said rather than hidden in them. A service's row has
    its slack.
    """
    before = {phase.name: phase for phase in traced if not phase.under}
    found = [phase for phase in plain if not phase.under]
    slack = {phase.name: phase.slack_us for phase in plain if phase.under}
    for phase in list(found):
        twin = before.get(phase.name)
        mine = [one for one in inner if one.under == phase.name]
        if twin is None or not mine:
            continue
        moved = phase.start_us - twin.start_us
        found += [replace(one, start_us=one.start_us + moved, slack_us=slack.get(one.name)) for one in mine]
        cost = phase.us - sum(one.us for one in mine)
        found.append(Phase(TRACING, phase.start_us + phase.us, cost, under=phase.name))
    return found


class _Tasks:
    """Follows every task through the trace."""

    def __init__(self, events: Sequence[TraceEvent], marks: Sequence[tuple[TraceEvent, str]]) -> None:
        self._tasks: dict[int, _Task] = {}
        self._containers = _containers(events, marks)
        self._programs = _programs(events)
        self._modules = _modules(events)
        services = (event.us for event, name in marks if name.startswith("services/"))
        self._asking_us = min(services, default=events[-1].us)

    def task(self, pid: int) -> _Task:
        return self._tasks.setdefault(pid, _Task())

    def bill(self, pid: int, until: TraceEvent) -> tuple[str, str]:
        """Return whom the processor is billed to while `pid` runs, up to the event `until`."""
        if pid == BOOTING:
            return EARLY, ""
        if pid == 0:
            woken = _SWITCH.match(until.what)
            return IDLE, f"{UNTIL}{self.task(int(woken[3])).bill()[0]}{GOES_ON}" if woken else ""
        return self.task(pid).bill()

    def follow(self, event: TraceEvent, running: int) -> int:
        """Take one event in; return who runs after it."""
        what, task = event.what, self.task(event.pid)
        if match := _SWITCH.match(what):
            return int(match[3])
        if match := _FORK.match(what):
            self._fork(int(match[1]), _text(match[2]), int(match[3]))
        elif match := _EXEC.match(what):
            self._exec(event, _text(match[1]))
        elif match := _WORK.match(what):
            task.works.append(_text(match[1]))
        elif what.startswith(b"workqueue_execute_end"):
            task.works[-1:] = []
        elif match := _INITCALL.match(what):
            task.initcalls[:] = [*task.initcalls, _text(match[2])] if match[1] == b"start" else task.initcalls[:-1]
        elif what.startswith(b"sys_finit_module("):
            task.module = self._modules.get(event, "")
        elif what.startswith(b"sys_finit_module ->"):
            task.module = ""
        return running

    def _fork(self, parent: int, name: str, child: int) -> None:
        old = self.task(parent)
        self._tasks[child] = _Task(self._containers.get(child, old.whose), old.program)
        if parent == _KTHREADD or old.thread or child == _KTHREADD:
            self._tasks[child].thread = _THREAD_NUMBER.sub("", name)

    def _exec(self, event: TraceEvent, file: str) -> None:
        task = self.task(event.pid)
        task.thread = ""  # a helper program that the kernel starts
        task.initcalls.clear()
        task.program = self._programs.get(event) or file.rpartition("/")[2]
        if not task.whose or task.whose == FIRST_STAGE:
            task.whose = FIRST_STAGE if file == "/init" else INIT
        asks = task.program in ASKERS or (task.program in ASKING_PROGRAMS and event.us >= self._asking_us)
        if task.whose == INIT and asks:
            task.whose = ASKING


def _containers(events: Sequence[TraceEvent], marks: Sequence[tuple[TraceEvent, str]]) -> dict[int, str]:
    """Return for which container, or for the asking, a process works that was forked for it, by its number.

    Who writes that several containers start forks a process for each; who writes it of one works for that one alone.
    """
    begun = [(event, name.removesuffix(" start")) for event, name in marks if name.endswith(" start")]
    names: dict[int, set[str]] = {}
    for event, name in begun:
        names.setdefault(event.pid, set()).add(name)
    managers = {pid for pid, found in names.items() if len(found) > 1 or any(map(_is_onboot, found))}
    found = {event.pid: ASKING for event, name in marks if _is_health(name) and event.pid not in names}
    found |= {event.pid: name for event, name in begun if event.pid not in managers}
    turns = [(event.us, event.pid, name) for event, name in begun if event.pid in managers]
    turns += [(event.us, event.pid, "") for event, name in marks if name.endswith(ENDS)]
    turns.sort()
    for event in events:
        if match := _FORK.match(event.what):
            mine = [name for us, pid, name in turns if us <= event.us and pid == int(match[1])]
            if mine and mine[-1]:
                found.setdefault(int(match[3]), mine[-1])
    return found


def _is_onboot(name: str) -> bool:
    return name.startswith("onboot/")


def _is_health(mark: str) -> bool:
    return mark.startswith("services/") and mark.endswith((" ready", " unready"))


def _programs(events: Sequence[TraceEvent]) -> dict[TraceEvent, str]:
    """Return the names of programs that run themselves once more under another, as busybox does, by their exec."""
    found: dict[TraceEvent, str] = {}
    open_: dict[int, TraceEvent] = {}
    for event in events:
        if (match := _EXEC.match(event.what)) and match[1].startswith(_SELF):
            open_[event.pid] = event
        elif (match := _SWITCH.match(event.what)) and int(match[2]) in open_:
            found[open_.pop(int(match[2]))] = _text(match[1])
    return found


def _modules(events: Sequence[TraceEvent]) -> dict[TraceEvent, str]:
    """Return the name of each module that is loaded, by the event that begins it."""
    found: dict[TraceEvent, str] = {}
    began: dict[int, TraceEvent] = {}
    for event in events:
        if event.what.startswith(b"sys_finit_module("):
            began[event.pid] = event
        elif (match := _LOADED.match(event.what)) and event.pid in began:
            found[began.pop(event.pid)] = _text(match[1])
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
