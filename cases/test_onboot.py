"""An onboot that never ends must not keep the rest from starting."""

from harness.suite import judge

HUNG = """
onboot:
  - name: hung
    image: busybox
    command: ["/bin/sleep", "1000000"]
    annotations:
      harness.timeout: "1"
"""


def test_hung_onboot_does_not_hang_the_boot(boot, variant, expect):
    system = boot(image=variant(HUNG), probe=False, until="unready")
    names = [mark.name for mark in system.milestones]
    services = [f"services/{name} ready" for name in expect["services"]]
    wanted = [("onboot/hung start", "onboot/hung timeout")]
    wanted += [("onboot/hung timeout", service) for service in services]
    wanted += [(service, "unready") for service in services]
    assert judge.disorder(names, wanted) == []
    assert "ready" not in names
