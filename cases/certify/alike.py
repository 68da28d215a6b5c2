"""That a system does the same where nobody counts its instructions."""

from harness.certify.speakers import others
from harness.measure.fit import misfits


def test_wall_time_fits_exact_time(exact, boot):
    # as it is booted in use: nothing on its command line tells it that it is measured, and no probe
    system = boot(probe=False)
    assert exact.first.ready_us is not None, "there is no exact time of ready, so nothing can be compared"
    found = misfits(exact.first, system.record)
    assert not found, "; ".join(found)


def test_the_emulator_tells_when_ready_was(exact, machine, cell):
    if not machine.network or not cell.built.manifest:
        return  # nothing can leave, or nothing of the harness's is there to send it: the record says whose word it is
    for record in (exact.first, exact.second):
        assert record.ready_clock == "emulator", (
            "`ready` did not leave as a frame, by which QEMU's own clock could tell when it was: "
            "the image's network was taken away, filtered, or has no driver"
        )


def test_nobody_else_could_say_ready(cell):
    found = others(cell.built.manifest)
    assert not found, f"these could say `ready` in the init's place, and are none of the library's: {', '.join(found)}"
