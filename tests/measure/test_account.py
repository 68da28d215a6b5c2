"""Who had the processor: every microsecond of a trace has one owner."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.errors import ImageError
from harness.measure.account import (
    ASKING,
    BETWEEN,
    EARLY,
    FIRST_STAGE,
    IDLE,
    INIT,
    TRACING,
    Stretch,
    explained,
    parts,
    rows,
    stacks,
    stretches,
    totals,
)
from harness.measure.phases import Phase
from harness.measure.trace import events

# µs, task that runs, what: a boot in small. The trace's clock is 100 µs ahead of the log's.
BOOT = """
150 <idle>-0 sched_process_fork: comm=swapper/0 pid=0 child_comm=swapper/0 child_pid=1
160 <idle>-0 sched_process_fork: comm=swapper/0 pid=0 child_comm=swapper/0 child_pid=2
200 <idle>-0 switch swapper/0 0 swapper/0 1
210 init-1 initcall_start: func=innocent+0x0/0x10
215 kthreadd-2 sched_process_fork: comm=kthreadd pid=2 child_comm=kworker/0:1 child_pid=3
220 init-1 switch swapper/0 1 kworker/0:1 3
221 kworker/0:1-3 workqueue_execute_start: work struct 00000000a: function heavy_work
300 kworker/0:1-3 workqueue_execute_end: work struct 00000000a: function heavy_work
301 kworker/0:1-3 switch kworker/0:1 3 swapper/0 1
305 init-1 initcall_finish: func=innocent+0x0/0x10 ret=0
310 init-1 sched_process_exec: filename=/init pid=1 old_pid=1
320 init-1 console: harness: init counter=1f
340 init-1 sys_finit_module(fd: 3, uargs: 0, flags: 0)
350 init-1 module_load: loop
360 init-1 sys_finit_module -> 0x0
370 init-1 sched_process_exec: filename=/sbin/init pid=1 old_pid=1
380 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=10
385 init-1 switch init 1 init 10
390 boot-10 sched_process_exec: filename=/usr/lib/harness/boot pid=10 old_pid=10
400 boot-10 console: harness: onboot/prep start
405 boot-10 sched_process_fork: comm=boot pid=10 child_comm=boot child_pid=11
406 boot-10 switch boot 10 boot 11
410 crun-11 sched_process_exec: filename=/usr/bin/crun pid=11 old_pid=11
450 crun-11 sched_process_exec: filename=/opt/prep pid=11 old_pid=11
460 prep-11 switch prep 11 boot 10
470 boot-10 console: harness: onboot/prep done
475 boot-10 sched_process_fork: comm=boot pid=10 child_comm=boot child_pid=12
476 boot-10 sched_process_fork: comm=boot pid=10 child_comm=boot child_pid=13
480 boot-10 switch boot 10 boot 12
490 supervise-12 sched_process_exec: filename=/usr/lib/harness/supervise pid=12 old_pid=12
495 supervise-12 console: harness: services/web start
500 supervise-12 sched_process_fork: comm=supervise pid=12 child_comm=supervise child_pid=14
505 supervise-12 switch supervise 12 supervise 14
510 exe-14 sched_process_exec: filename=/proc/self/exe pid=14 old_pid=14
530 web-14 switch applet 14 swapper/0 0
560 <idle>-0 switch swapper/0 0 boot 13
565 await-13 sched_process_exec: filename=/usr/lib/harness/await pid=13 old_pid=13
570 await-13 console: harness: services/web ready cpu=25
575 await-13 switch await 13 boot 10
600 boot-10 console: harness: ready counter=ff
900 boot-10 switch boot 10 x 99
"""
READY_US = 500
SWITCH = r"sched_switch: prev_comm=\1 prev_pid=\2 prev_prio=120 prev_state=S ==> next_comm=\3 next_pid=\4 next_prio=120"


def trace(text: str = BOOT) -> bytes:
    lines = []
    for line in text.strip().splitlines():
        us, task, what = line.split(" ", 2)
        what = re.sub(r"switch (\S+) (\d+) (\S+) (\d+)", SWITCH, what)
        lines.append(f"{task:>24} [000] .....     0.{int(us):06}: {what}\n")
    head = f"# tracer: nop\n# entries-in-buffer/entries-written: {len(lines)}/{len(lines)}   #P:1\n"
    return (head + "".join(lines)).encode()


@pytest.fixture
def booted() -> list[Stretch]:
    """The stretches of `BOOT`; made in each test, so that a change of the code shows there."""
    return list(stretches(events(trace()), READY_US))


def test_every_microsecond_has_one_owner(booted: list[Stretch]) -> None:
    assert sum(one.us for one in booted) == READY_US
    at = 0
    for one in booted:
        assert one.start_us == at and one.us > 0
        at += one.us


def test_a_thread_that_runs_while_an_initcall_sleeps_is_not_the_initcall(booted: list[Stretch]) -> None:
    found = totals(booted)
    assert found["work/heavy_work"] == 79
    assert found["initcall/innocent"] == 10 + 4
    assert found["thread/kworker/0"] == 1 + 1


def test_each_owner_has_its_own(booted: list[Stretch]) -> None:
    found = totals(booted)
    assert (found[EARLY], found["module/loop"], found["idle"], found[ASKING]) == (100, 20, 30, 15)
    assert (found["onboot/prep"], found["services/web"], found["first stage"]) == (54, 50, 40)
    assert found[BETWEEN] == 10 + 5  # before the first initcall, and after the last one


def test_a_containers_programs_are_its_parts_and_a_busyboxs_applet_has_its_own_name(booted: list[Stretch]) -> None:
    found = parts(booted)
    assert found["onboot/prep"] == {"crun": 40, "prep": 10, "boot": 4}
    assert found["services/web"] == {"supervise": 15 + 5, "applet": 20, "boot": 10}
    assert found["idle"] == {f"until {ASKING} goes on": 30}


def test_a_thread_of_the_kernel_that_wakes_in_between_ends_no_waiting() -> None:
    # the web server sleeps on: until 540 when the kernel's thread wakes, and until it goes on itself
    slept = BOOT.replace(
        "560 <idle>-0 switch swapper/0 0 boot 13\n",
        "540 <idle>-0 switch swapper/0 0 kthreadd 2\n545 kthreadd-2 switch kthreadd 2 swapper/0 0\n"
        "560 <idle>-0 switch swapper/0 0 web 14\n562 web-14 switch web 14 boot 13\n",
    )
    found = parts(stretches(events(trace(slept)), READY_US))
    assert found["idle"] == {"until services/web goes on": 25}
    # where nobody else ever comes it is the thread that was waited for
    alone = BOOT.replace("150 <idle>-0 sched", "140 <idle>-0 switch swapper/0 0 kthreadd 2\n150 <idle>-0 sched")
    assert sum(parts(stretches(events(trace(alone)), READY_US)).get("idle", {}).values()) == 30


def test_owners_become_stacks(booted: list[Stretch]) -> None:
    owners = {
        "initcall/x": ("kernel", "initcalls", "x"), "work/x": ("kernel", "work functions", "x"),
        "thread/x": ("kernel", "threads", "x"), "module/x": ("kernel", "modules", "x"), IDLE: (IDLE,),
        INIT: ("init", INIT, "sh"), FIRST_STAGE: ("init", FIRST_STAGE, "sh"), ASKING: ("init", ASKING, "sh"),
        "services/web": ("containers", "services/web", "sh"), "onboot/prep": ("containers", "onboot/prep", "sh"),
        BETWEEN: ("kernel", BETWEEN), EARLY: ("kernel", EARLY),
    }  # fmt: skip
    found = [Stretch(0, 10 + at, owner, "sh" if "sh" in stack or owner == IDLE else "")
             for at, (owner, stack) in enumerate(owners.items())]  # fmt: skip
    assert stacks([*found, found[0]]) == {
        stack: (10 + at) * (1 + (at == 0)) for at, stack in enumerate(owners.values())
    }
    assert list(stacks([*found, found[0]]).values()) == sorted(stacks([*found, found[0]]).values(), reverse=True)
    assert sum(stacks(booted).values()) == READY_US


def test_rows_add_up_to_their_phase(booted: list[Stretch]) -> None:
    line = [Phase("kernel", 0, 220), Phase("init", 220, 80), Phase("services", 300, 200)]
    found = rows(booted, line)
    for phase in line:
        assert sum(one.us for one in found if one.under == phase.name) == phase.us


def test_what_the_trace_costs_is_a_row_of_its_own(booted: list[Stretch]) -> None:
    traced = [Phase("kernel", 0, 300), Phase("services", 300, 200)]
    plain = [Phase("kernel", 0, 280), Phase("services", 280, 190)]
    found = explained(plain, traced, rows(booted, traced))
    for phase in plain:
        assert sum(one.us for one in found if one.under == phase.name) == phase.us
    assert [one.us for one in found if one.name == TRACING] == [-20, -10]
    assert min(one.start_us for one in found if one.under == "services") == 280


# works and initcalls in each other, a module that was loaded before, and a manager of two services and of one onboot
NESTED = """
105 <idle>-0 switch swapper/0 0 init 1
110 init-1 sched_process_exec: filename=/sbin/init pid=1 old_pid=1
120 init-1 module_load: early
130 init-1 initcall_start: func=outer+0x0/0x10
140 init-1 initcall_start: func=inner+0x0/0x10
150 init-1 initcall_finish: func=inner+0x0/0x10 ret=0
160 init-1 initcall_finish: func=outer+0x0/0x10 ret=0
160 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=20
160 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=21
160 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=30
160 init-1 sys_finit_module(fd: 3, uargs: 0, flags: 0)
165 init-1 initcall_start: func=other+0x0/0x10
165 init-1 initcall_finish: func=other+0x0/0x10 ret=0
170 init-1 module_load: late
180 init-1 sys_finit_module -> 0x0
180 init-1 workqueue_execute_start: work struct 00000000a: function low
190 init-1 workqueue_execute_start: work struct 00000000b: function high
200 init-1 workqueue_execute_end: work struct 00000000b: function high
210 init-1 workqueue_execute_end: work struct 00000000a: function low
210 init-1 switch init 1 boot 20
220 boot-20 console: harness: services/a start
220 boot-20 sched_process_fork: comm=boot pid=20 child_comm=boot child_pid=22
230 boot-20 console: harness: services/b start
235 boot-20 console: harness: services/b unready
240 boot-20 sched_process_fork: comm=boot pid=20 child_comm=boot child_pid=23
240 boot-20 switch boot 20 a 22
250 a-22 sched_process_exec: filename=/usr/lib/harness/await pid=22 old_pid=22
260 a-22 switch a 22 b 23
280 b-23 switch b 23 await 21
280 await-21 sched_process_exec: filename=/usr/lib/harness/await pid=21 old_pid=21
295 await-21 switch await 21 sh 30
300 sh-30 console: harness: services/a exited
310 sh-30 switch sh 30 boot 20
310 boot-20 console: harness: ready counter=ff
"""


def test_what_runs_inside_of_something_is_billed_by_itself() -> None:
    found = stretches(events(trace(NESTED)), 210)
    assert sum(one.us for one in found) == 210 and all(one.us > 0 for one in found)
    spent = totals(found)
    assert [spent[f"initcall/{name}"] for name in ("outer", "inner")] == [20, 10]
    assert [spent[f"work/{name}"] for name in ("low", "high")] == [20, 10]
    assert spent["module/late"] == 20


def test_a_manager_of_several_containers_works_for_the_one_that_it_has_begun() -> None:
    spent = totals(stretches(events(trace(NESTED)), 210))
    assert (spent["services/a"], spent["services/b"]) == (20, 20), "of a program that is called as what asks, too"
    assert spent[ASKING] == 15, "by its program, where no mark tells"
    assert spent[INIT] == 20 + 30 + 15, "who tells of a service that has ended does not ask for its health"


def test_a_phase_that_is_part_of_another_has_no_rows_of_its_own(booted: list[Stretch]) -> None:
    line = [Phase("kernel", 0, 306), Phase("none", 306, 0), Phase("services", 306, 194)]
    inner = Phase("services/web", 395, 60, under="services")
    found = rows(booted, [*line, inner])
    assert found == rows(booted, line) and all(one.us > 0 for one in found)
    assert {one.under for one in found} == {"kernel", "services"}
    other = replace(inner, name="services", start_us=0)
    plain = [replace(one, us=one.us + 7) for one in line]
    assert explained([*plain, inner], [*line, other], found) == explained(plain, line, found)


def test_a_phase_of_one_boot_alone_stays_as_it_is(booted: list[Stretch]) -> None:
    line = [Phase("kernel", 0, 300), Phase("services", 300, 200)]
    made = rows(booted, line)
    assert explained(line, line[:1], made)[:2] == line
    assert {one.under for one in explained(line, line[:1], made)} == {"", "kernel"}
    silent = [one for one in made if one.under == "kernel"]
    assert {one.under for one in explained(line, line, silent)} == {"", "kernel"}


def test_a_trace_without_the_mark_is_refused() -> None:
    with pytest.raises(ImageError, match="`ready`"):
        stretches(events(trace(BOOT.replace("harness: ready", "harness: later"))), READY_US)


def test_a_stretch_has_no_part_by_default() -> None:
    assert Stretch(0, 1, "idle").part == ""


SCRIPT = """\
0 init-1 switch swapper 0 init 1
10 init-1 sched_process_exec: filename=/init pid=1 old_pid=1
10 init-1 sched_process_exec: filename=/sbin/init pid=1 old_pid=1
10 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=2
10 init-1 switch init 1 init 2
12 sh-6 console: harness: onboot/x start
20 init-2 sched_process_exec: filename=/usr/bin/timeout pid=2 old_pid=2
50 init-2 switch timeout 2 init 1
60 sh-3 console: harness: services/a start
60 init-1 sched_process_fork: comm=init pid=1 child_comm=init child_pid=4
60 init-1 switch init 1 init 4
60 init-4 sched_process_exec: filename=/usr/bin/wget pid=4 old_pid=4
75 init-4 sched_process_exec: filename=/usr/bin/sed pid=4 old_pid=4
78 sh-5 console: harness: services/b start
80 init-4 console: harness: ready counter=ff
"""


def test_programs_by_which_init_asks_are_asking_once_a_service_has_started() -> None:
    spent = totals(stretches(events(trace(SCRIPT)), 80))
    assert spent[ASKING] == 20, "from the program on"
    assert sum(spent.values()) == 80


def test_a_services_row_has_its_slack_and_no_others() -> None:
    line = [Phase("onboot/prep", 0, 50, slack_us=0), Phase("services", 50, 50)]
    service = Phase("services/web", 60, 30, under="services", slack_us=7)
    inner = [Phase("onboot/prep", 0, 50, under="onboot/prep"), Phase("services/web", 60, 20, under="services")]
    found = {(one.name, one.under): one.slack_us for one in explained([*line, service], line, inner)}
    assert found["services/web", "services"] == 7
    assert (found["onboot/prep", ""], found["onboot/prep", "onboot/prep"]) == (0, None)
