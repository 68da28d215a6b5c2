"""From power-on to ready and to off again, in exact time: nothing but the image decides these figures."""

import pytest

from harness.measure.phases import figures
from harness.suite import judge
from harness.system.cmdline import PROBE_INIT


def names(record):
    return [mark.name for mark in record.milestones]


def test_boot_reaches_ready(exact, expect):
    assert judge.disorder(names(exact.first), judge.steps(expect)) == []
    assert judge.troubles(names(exact.first)) == []


def test_exact_time_within_budget(exact, budget):
    allowed = judge.limits(budget, exact.first)
    if not allowed:
        pytest.skip("the plan sets no budget for this cell")
    assert "ready" not in allowed or exact.first.ready_us is not None, exact.verdict
    over = judge.over_budget(figures(exact.first), allowed)
    assert not over, "; ".join(over)


def test_exact_time_twice_the_same(exact):
    assert exact.repeats, exact.verdict


def test_exact_boots_are_unprobed(exact):
    for record in (exact.first, exact.second):
        assert not record.probed
        assert f"rdinit={PROBE_INIT}" not in record.cmdline.split()
        assert not any("virtserialport" in word for word in record.argv)


def test_power_off_is_clean_and_runs_onshutdown(exact, expect):
    for record in (exact.first, exact.second):
        after = names(record)[names(record).index("ready") + 1 :]
        wanted = judge.down(expect)
        assert [name for name in after if name in wanted] == wanted
        assert after[-1] == "off"


@pytest.mark.disturbs
def test_reboot_is_clean(system, shell, expect, machine):
    if not machine.hears_off:
        pytest.skip("without a console nobody hears how a system goes down")
    before = len(system.milestones)
    system.reboot()
    # that the image comes to ready from here on, other boots show
    system.wait_for("boot", after=before)
    after = [mark.name for mark in system.milestones[before:]]
    wanted = judge.down(expect)
    assert [name for name in after if name in wanted] == wanted
    assert judge.disorder(after, [("off", "init"), ("init", "root"), ("root", "boot")]) == []
    assert judge.troubles(after) == []
