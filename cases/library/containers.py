"""What runs containers: each component of images/library-containers.yml does its job."""

import pytest

BUNDLE = "/containers/onboot/000-bundle"


@pytest.mark.needs("onboot/bundle")
def test_runc(shell):
    assert "in a container" in shell.run(f"runc --root /run/runc run -b {BUNDLE} by-runc", timeout=60, check=True).text


@pytest.mark.needs("onboot/bundle")
def test_crun(shell):
    command = f"crun --root /run/other --cgroup-manager=cgroupfs run -b {BUNDLE} by-crun"
    assert "in a container" in shell.run(command, timeout=60, check=True).text


@pytest.mark.needs("services/containerd", "onboot/bundle")
def test_containerd(inside):
    run = ("ctr", "run", "--rm", "--rootfs", "--read-only", f"{BUNDLE}/rootfs", "one", "/bin/echo", "by containerd")
    assert inside("containerd", *run, timeout=120).endswith("by containerd\n")


@pytest.mark.needs("services/podman", "onboot/bundle")
def test_podman(inside):
    run = ("podman", "run", "--rm", "--rootfs", f"{BUNDLE}/rootfs:O", "/bin/echo", "by podman")
    assert inside("podman", *run, timeout=120).endswith("by podman\n")


@pytest.mark.needs("services/tini")
def test_tini(eventually):
    # it started the other one, and saw it end
    eventually("grep -q 'tini version' /var/log/tini.log && grep -q 'Reaped child' /var/log/tini.log")
