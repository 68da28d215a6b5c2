"""An image in a format that a firmware boots by itself, as it is shipped: nothing is put beside it, no word added."""

import pytest

from harness.suite import judge


@pytest.mark.medium
def test_boots_as_it_is_shipped_and_powers_off_by_the_button(boot, expect):
    system = boot(probe=False)
    found = [mark.name for mark in system.milestones]
    assert judge.disorder(found, judge.steps(expect)) == []
    assert judge.troubles(found) == []
    assert system.power_off(), "the button did not end it"
    after = [mark.name for mark in system.milestones[len(found) :]]
    wanted = judge.down(expect)
    assert [name for name in after if name in wanted] == wanted
