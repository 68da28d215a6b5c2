"""The history on both databases: what is put in comes out, once, in order."""

from __future__ import annotations

from runs import FIGURES, SIZES, results

from harness.history import History


def test_a_run_is_there_once(history: History) -> None:
    assert history.add(results(1))
    assert not history.add(results(1, exact={"ready": 1}))
    (head,) = history.runs()
    assert (head.run, head.when, head.plan) == (f"{1:032x}", "2026-01-02T00:00:00Z", "plan.yml")
    assert (head.commit, head.subject, head.changed) == (f"{1:040x}", "Change 1", False)
    (only,) = history.cells(head)
    assert (only.exact, only.sizes) == (FIGURES, {"total": 10_000_000, **SIZES})
    assert only.key["qemu"] == "7.2.22"
