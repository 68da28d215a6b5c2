"""That a system does the same where nobody counts its instructions."""

from harness.measure.fit import misfits


def test_wall_time_fits_exact_time(exact, boot, cell):
    system = boot(probe=False, like_exact=True, append=cell.built.off_words)
    assert system.record.ready_us is not None, "no stamp of the kernel's at ready, so nothing can be compared"
    found = misfits(exact.first, system.record)
    assert not found, "; ".join(found)
