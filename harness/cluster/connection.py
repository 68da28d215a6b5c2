"""A cluster's hosts, brought up by Dask's own deployers, and a client of its scheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import proc
from harness.cluster import certificates
from harness.cluster.certificates import AUTHORITY, CERTIFICATE, KEY
from harness.errors import HarnessError, HostError
from harness.spec.models.cluster import Cluster

if TYPE_CHECKING:
    from distributed import Client, Security

MODULE = "harness.cluster.announce"  # what each worker loads
LOOPBACK = "127.0.0.1"
CONNECT_S = 30.0
EXTRA = "pip install 'bootharness[cluster]'"
HINT = "is its scheduler up, and has every host the same certificates?"
IDLE = "2 hours"  # after which a scheduler ends, and its workers with it, whose run has died: longer than builds take
ROLES = ("client", "scheduler", "worker")
Deployer = Callable[[Cluster, "Security"], Any]


@contextmanager
def connected(cluster: Cluster) -> Iterator[Client]:
    """Bring up a cluster, connect with it, and end what was brought up; HostError for what cannot be had."""
    see_host()
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a host that is lost is told of in our own words
    safe = security(cluster)
    with ExitStack() as stack:
        try:
            target = cluster.cluster.address
            for name, deploy in DEPLOYERS.items():
                if getattr(cluster.cluster, name) is not None:
                    target = stack.enter_context(deploy(cluster, safe))
            client = stack.enter_context(Client(target, security=safe, timeout=CONNECT_S, set_as_default=False))
        except HarnessError:
            raise
        except Exception as error:
            raise HostError(f"the cluster {cluster.name} cannot be had: {_innermost(error)}", hint=HINT) from error
        yield client


def see_host() -> None:
    """See that Dask is here, and finds its own processes; HostError where it is not, or could not."""
    _need("distributed")
    if not proc.is_own():
        what = "Dask distributed cannot run here: /proc is that of another PID namespace"
        raise HostError(what, hint="mount this one's own, as `unshare --pid --fork --mount-proc` does")


def security(cluster: Cluster) -> Security | None:
    """Return how the cluster's connections are kept private: by its certificates, or by some that live as long as this.

    None, in the clear, on this host's loopback alone.
    """
    from distributed import Security

    if cluster.certificates is not None:
        return Security(require_encryption=True, **tls(cluster.certificates))
    address = cluster.cluster.address
    if address is None:
        return Security.temporary()
    certificates.needed(address, None)
    return None


def tls(folder: Path) -> dict[str, str]:
    """Return a folder's certificates by the names that Dask's `Security` has for them: all roles have the same."""
    found = certificates.found(folder)
    return {"tls_ca_file": found[AUTHORITY],
            **{f"tls_{role}_cert": found[CERTIFICATE] for role in ROLES},
            **{f"tls_{role}_key": found[KEY] for role in ROLES}}  # fmt: skip


def announcing(boards: tuple[str, ...] = (), **numbers: int) -> list[str]:
    """Return the words that a worker's announcement takes."""
    words = [word for name in boards for word in ("--board", name)]
    return [*words, *(word for name, number in numbers.items() for word in (f"--{name}", str(number)))]


def _local(cluster: Cluster, safe: Security) -> Any:
    from distributed import LocalCluster

    hosts = cluster.cluster.local
    assert hosts is not None
    return LocalCluster(
        n_workers=hosts.workers, threads_per_worker=1, host=LOOPBACK, protocol="tls://", security=safe,
        dashboard_address=None, worker_dashboard_address=None, memory_limit=None, silence_logs=logging.CRITICAL,
        preload=[MODULE], preload_argv=announcing(cluster.boards, places=1, share=hosts.workers),
    )  # fmt: skip


def _ssh(cluster: Cluster, safe: Security) -> Any:
    import dask
    from distributed import SSHCluster

    hosts = cluster.cluster.ssh
    assert hosts is not None and cluster.certificates is not None
    _need("asyncssh")
    found = certificates.found(cluster.certificates)
    # what a host's Dask reads is sent along with the command that starts it
    files = {"ca-file": found[AUTHORITY], **{f"{role}.{what}": found[name] for role in ROLES
                                             for what, name in (("cert", CERTIFICATE), ("key", KEY))}}  # fmt: skip
    dask.config.set({"distributed.comm.require-encryption": True,
                     **{f"distributed.comm.tls.{name}": path for name, path in files.items()}})  # fmt: skip
    login = {"username": hosts.user, "port": hosts.port, "client_keys": hosts.key and [str(hosts.key)],
             "known_hosts": hosts.known_hosts and str(hosts.known_hosts)}  # fmt: skip
    return SSHCluster(
        [hosts.hosts[0], *hosts.hosts],
        connect_options={key: value for key, value in login.items() if value is not None},
        worker_options={"preload": [MODULE], "preload_argv": announcing(cluster.boards), "memory_limit": 0,
                        "dashboard": False},
        scheduler_options={"host": hosts.hosts[0], "port": 0, "protocol": "tls", "dashboard": False,
                           "idle_timeout": IDLE},
        remote_python=hosts.python,
        security=safe,
    )  # fmt: skip


def _slurm(cluster: Cluster, safe: Security) -> Any:
    _need("dask_jobqueue")
    from dask_jobqueue import SLURMCluster

    hosts = cluster.cluster.slurm
    assert hosts is not None
    given: Mapping[str, Any] = {
        "queue": hosts.partition, "account": hosts.account, "interface": hosts.interface, "python": hosts.python,
    }  # fmt: skip
    made = SLURMCluster(
        cores=hosts.cores, memory=hosts.memory, processes=1, walltime=hosts.time, protocol="tls://", security=safe,
        job_extra_directives=list(hosts.options), scheduler_options={"dashboard": False},
        worker_extra_args=["--no-dashboard", "--preload", MODULE, *announcing(cluster.boards, places=hosts.cores)],
        **{key: value for key, value in given.items() if value is not None},
    )  # fmt: skip
    made.scale(jobs=hosts.jobs)
    return made


def _need(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise HostError(f"this environment has no {module}, which such clusters need", hint=EXTRA)


def _innermost(error: BaseException) -> str:
    """Return what the first of a chain of errors says."""
    while inner := (error.__cause__ or error.__context__):
        error = inner
    return str(error) or type(error).__name__


DEPLOYERS: Mapping[str, Deployer] = {"local": _local, "ssh": _ssh, "slurm": _slurm}
