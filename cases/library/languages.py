"""Languages: each component of images/library-languages.yml does its job."""

import json

import pytest


@pytest.mark.needs("onboot/jq")
def test_jq(log):
    assert json.loads(log("onboot.jq")) == {"answer": 42}


@pytest.mark.needs("onboot/python3")
def test_python3(log):
    assert json.loads(log("onboot.python3")) == {"sum": 45}


@pytest.mark.needs("onboot/lua")
def test_lua(log):
    assert log("onboot.lua") == "42\n"


@pytest.mark.needs("onboot/perl")
def test_perl(log):
    assert log("onboot.perl") == "0,1,1,2,2\n"


@pytest.mark.needs("onboot/openssl")
def test_openssl(log):
    assert log("onboot.openssl").endswith("/tmp/c: OK\n")
