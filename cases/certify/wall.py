"""What exact boots show, for machines and media that have no exact time: by the host's clock, and by a hand."""

import statistics

import pytest

from harness.image import OFF_WORDS
from harness.suite import judge

BOOTS = 5  # their median is judged: one that a busy host slowed down decides nothing


def test_boot_reaches_ready_in_order(boot, expect):
    names = [mark.name for mark in boot(probe=False).milestones]
    assert judge.disorder(names, judge.steps(expect)) == []
    assert judge.troubles(names) == []


def test_wall_time_within_budget(boot, budget):
    if budget.wall is None:
        pytest.skip("no budget for wall time")
    seconds = []
    for _ in range(BOOTS):
        system = boot(probe=False)
        seconds.append(system.record.host_ready_s)
        system.power_off()
    median = statistics.median(seconds)
    shown = ", ".join(f"{one:.2f}" for one in sorted(seconds))
    assert median <= budget.wall, f"{median:.2f} s in the median of {shown}; {budget.wall:g} s allowed"


def how_not(built):
    """Say how it was asked to power off, in vain."""
    if built.off_words:
        return "it did not power off by itself"
    if built.login:
        return "it powered off neither by `poweroff` nor by the machine's button"
    return "it did not power off when the machine's button was pressed, and has no login for `poweroff`"


def test_power_off_is_clean(boot, cell, machine):
    if not machine.hears_off:
        pytest.skip("without a console nobody hears how a system goes down")
    system = boot()
    declared = cell.built.expect
    assert system.power_off(), how_not(cell.built)
    if cell.built.off_words == OFF_WORDS:
        names = [mark.name for mark in system.milestones]
        after, wanted = names[names.index("ready") + 1 :], judge.down(declared)
        assert [name for name in after if name in wanted] == wanted
        assert after[-1] == "off"
