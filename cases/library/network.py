"""Networking: each component of images/library-network.yml does its job."""

import re

import pytest

PING = "ping -c 1 -W 2 "


@pytest.mark.needs("onboot/ip")
def test_ip(shell):
    assert "10.77.0.1/24" in shell.run("ip addr show lan0", check=True).text
    assert shell.run("cat /sys/class/net/lan1/operstate", check=True).text == "up\n"


@pytest.mark.needs("onboot/dummy")
def test_dummy(shell):
    assert "NOARP" in shell.run("ip link show port0", check=True).text


@pytest.mark.needs("onboot/bridge")
def test_bridge(shell):
    assert shell.run("ls /sys/class/net/br7/brif", check=True).text == "port0\n"
    assert "10.78.0.1/24" in shell.run("ip addr show br7", check=True).text


@pytest.mark.needs("onboot/vlan")
def test_vlan(shell):
    assert "VID: 7" in shell.run("cat /proc/net/vlan/lan0.7", check=True).text
    assert "10.79.0.1/24" in shell.run("ip addr show lan0.7", check=True).text


@pytest.mark.needs("onboot/wireguard", "services/far")
def test_wireguard(shell, running):
    far = f"nsenter -t {running['far']} -n "
    moved = f"ip link show wg1 >/dev/null 2>&1 && ip link set wg1 netns {running['far']}"
    shell.run(f"{moved}; {far} ip addr replace 10.99.0.2/24 dev wg1 && {far} ip link set wg1 up", check=True)
    assert "1 packets received" in shell.run(f"{far} {PING} -w 20 10.99.0.1", timeout=60, check=True).text


@pytest.mark.needs("onboot/nftables")
def test_nftables(shell):
    assert shell.run(f"{PING} 127.0.0.6").code == 0
    assert shell.run(f"{PING} 127.0.0.7").code != 0


@pytest.mark.needs("onboot/iptables")
def test_iptables(shell):
    assert shell.run(f"{PING} 127.0.0.6").code == 0
    assert shell.run(f"{PING} 127.0.0.8").code != 0


@pytest.mark.needs("onboot/ipset", "onboot/iptables")
def test_ipset(shell):
    # the packet filter's rule names the set; without the set it would not have been loaded
    assert shell.run(f"{PING} 127.0.0.9").code != 0


@pytest.mark.network
@pytest.mark.needs("onboot/ethtool")
def test_ethtool(log):
    assert "driver: virtio_net" in log("onboot.ethtool")


@pytest.mark.needs("services/dnsmasq")
def test_dnsmasq(shell):
    assert "10.77.0.9" in shell.run("nslookup name.harness.test 10.77.0.1").text


@pytest.mark.needs("services/dhcpcd", "services/dnsmasq")
def test_dhcpcd(eventually):
    given = re.search(r"inet 10\.77\.0\.(\d+)/", eventually("ip -4 addr show lan1 | grep 'inet 10.77.0'"))
    assert given and 50 <= int(given[1]) <= 60  # the range of dnsmasq


@pytest.mark.needs("services/unbound")
def test_unbound(shell):
    assert "10.77.0.8" in shell.run("nslookup name.unbound.test 127.0.0.1").text


@pytest.mark.needs("services/dig", "services/dnsmasq")
def test_dig(eventually, log):
    eventually("grep -qx 10.77.0.9 /var/log/dig.log")
    assert log("dig").splitlines()[-1] == "10.77.0.9"


@pytest.mark.needs("services/haproxy", "services/nginx")
def test_haproxy(shell):
    answer = shell.run("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 8080", check=True).text
    assert "x-balancer: haproxy" in answer.lower() and "Welcome to nginx" in answer


@pytest.mark.needs("services/nginx")
def test_nginx(shell):
    assert "Welcome to nginx" in shell.run("wget -q -O - http://127.0.0.1/", check=True).text


@pytest.mark.needs("services/stunnel", "services/nginx")
def test_stunnel(shell, log):
    assert "Welcome to nginx" in shell.run("wget -q -O - http://127.0.0.1:8081/", check=True).text
    assert "TLSv1" in log("stunnel")


@pytest.mark.needs("services/curl", "services/haproxy")
def test_curl(eventually):
    eventually("grep -q 'Welcome to nginx' /var/log/curl.log")


@pytest.mark.needs("services/tinyproxy", "services/nginx")
def test_tinyproxy(shell, log):
    fetch = "http_proxy=http://127.0.0.1:8888 wget -q -O - http://127.0.0.1/"
    assert "Welcome to nginx" in shell.run(fetch, check=True).text
    assert "Established connection" in log("tinyproxy")


@pytest.mark.needs("services/iperf3")
def test_iperf3(inside):
    assert "receiver" in inside("iperf3", "iperf3", "-c", "127.0.0.1", "-t", "1")


@pytest.mark.needs("services/tcpdump")
def test_tcpdump(shell, eventually):
    shell.run(f"{PING} 127.0.0.5", check=True)
    eventually("grep -q '127.0.0.5: ICMP echo request' /var/log/tcpdump.log")


@pytest.mark.needs("services/conntrack")
def test_conntrack(shell, eventually):
    shell.run(f"{PING} 127.0.0.4", check=True)
    eventually("grep -q 'NEW.* icmp .*dst=127.0.0.4' /var/log/conntrack.log")


@pytest.mark.needs("services/socat")
def test_socat(shell):
    assert shell.run("echo there and back | nc 127.0.0.1 7777", check=True).text == "there and back\n"


@pytest.mark.needs("services/keepalived")
def test_keepalived(eventually):
    eventually("ip addr show lan0 | grep 10.77.0.200")


@pytest.mark.needs("services/radvd")
def test_radvd(eventually):
    eventually("ip -6 addr show lan1 | grep 2001:db8:77:")


@pytest.mark.needs("services/rsync")
def test_rsync(inside):
    inside("rsync", "rsync", "rsync://127.0.0.1/conf/rsyncd.conf", "/run/copy")
    inside("rsync", "rsync", "--checksum", "--dry-run", "rsync://127.0.0.1/conf/rsyncd.conf", "/run/copy")
