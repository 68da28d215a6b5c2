"""Databases and figures: each component of images/library-services.yml does its job."""

import re

import pytest


@pytest.mark.needs("services/redis")
def test_redis(inside):
    assert inside("redis", "redis-cli", "set", "key", "value") == "OK\n"
    assert inside("redis", "redis-cli", "get", "key") == "value\n"


@pytest.mark.needs("services/memcached")
def test_memcached(shell):
    lines = r"set key 0 60 5\r\nvalue\r\nget key\r\nquit\r\n"
    answer = shell.run(f"printf '{lines}' | nc 127.0.0.1 11211", check=True).text.split()
    assert answer == ["STORED", "VALUE", "key", "0", "5", "value", "END"]


@pytest.mark.needs("services/postgresql")
def test_postgresql(inside):
    psql = ("/usr/lib/postgresql/15/bin/psql", "-h", "/run/postgresql", "-U", "postgres", "-At", "-c")
    inside("postgresql", *psql, "create table if not exists t(x int); insert into t values (20), (22)")
    assert int(inside("postgresql", *psql, "select sum(x) % 42 from t")) == 0
    assert inside("postgresql", *psql, "select count(*) > 0 from t").strip() == "t"


@pytest.mark.needs("onboot/sqlite")
def test_sqlite(log, shell):
    assert log("onboot.sqlite") == "42\n"
    assert shell.run("head -c 15 /var/test.db", check=True).text == "SQLite format 3"


@pytest.mark.needs("services/mosquitto")
def test_mosquitto(inside):
    inside("mosquitto", "mosquitto_pub", "-h", "127.0.0.1", "-t", "news", "-m", "it works", "-r")
    assert inside("mosquitto", "mosquitto_sub", "-h", "127.0.0.1", "-t", "news", "-C", "1") == "it works\n"


@pytest.mark.needs("services/node_exporter")
def test_node_exporter(shell):
    page = shell.run("wget -q -O - http://127.0.0.1:9100/metrics", timeout=60, check=True).text
    assert "node_memory_MemTotal_bytes" in page and "node_uname_info{" in page
    total = int(shell.run("awk '/MemTotal/ { print $2 }' /proc/meminfo", check=True).text) * 1024
    (line,) = [one for one in page.splitlines() if one.startswith("node_memory_MemTotal_bytes ")]
    assert int(float(line.split()[1])) == total


@pytest.mark.needs("services/sysstat")
def test_sysstat(eventually, inside):
    eventually("ls /var/log/sysstat/sa*")
    assert "all" in inside("sysstat", "/bin/sh", "-c", "sleep 2; sar -u -f /var/log/sysstat/sa*")


@pytest.mark.needs("services/procps")
def test_procps(eventually, inside):
    eventually("[ $(grep -c '^ *[0-9]' /var/log/procps.log) -gt 1 ]")
    assert "init" in inside("procps", "ps", "-p", "1", "-o", "args")


@pytest.mark.needs("onboot/bpftool")
def test_bpftool(log):
    # a map of its own, and the program by which crun lets its container have devices
    assert re.search(r"key: 00 00 00 14 +value: 00 00 00 2a", log("onboot.bpftool"))
    assert "cgroup_device" in log("onboot.bpftool")


@pytest.mark.needs("services/syslog")
def test_syslog(shell, eventually):
    shell.run("logger -t harness 'to be kept'", check=True)
    eventually("grep 'harness: to be kept' /var/log/messages")
