"""The network as the image has it: an address by DHCP, and services that answer the host."""

import http.client
import socket

import pytest

pytestmark = pytest.mark.network


@pytest.mark.needs("onboot/dhcp")
def test_dhcp_gave_address_route_and_name_server(shell):
    assert "inet " in shell.run("ip -4 addr show scope global", check=True).text
    assert shell.run("ip -4 route show default", check=True).text.startswith("default via ")
    assert "nameserver " in shell.run("cat /etc/resolv.conf", check=True).text


@pytest.mark.needs("services/nginx")
def test_web_server_answers_the_host(system, shell):
    connection = http.client.HTTPConnection(*system.reach(80), timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    page = answer.read()
    connection.close()
    assert answer.status == 200
    root = "/containers/services/nginx/rootfs/usr/share/nginx/html"
    assert page in [shell.run(f"cat {root}/{name}").stdout for name in ("index.html", "index.nginx-debian.html")]


@pytest.mark.needs("services/sshd")
def test_ssh_server_greets_the_host(system):
    with socket.create_connection(system.reach(22), timeout=30) as connection:
        assert connection.recv(64).startswith(b"SSH-2.0-")
