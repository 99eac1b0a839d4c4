"""No URL makes an executor ask inside its own network, however it is spelled, redirected or resolved."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_server import Script, response, scripted
from slotwise.contracts.catalogue import Status
from slotwise.download.addresses import Allowed
from slotwise.download.connections import Connections
from slotwise.download.fetch import Fetched, FetchOptions, fetch

QUICK = FetchOptions(connect_timeout=1, read_timeout=1, total_timeout=2, retries=1, backoff=0.01)
INTERNAL = [ip_network(text) for text in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3")]


def get(url: str, **changes: Any) -> Fetched:
    options = replace(QUICK, **changes)
    return fetch(Connections(2, options.allowed), url, options)


@pytest.fixture
def server() -> Iterator[Script]:
    """A server on loopback that has a secret, and redirects to other names of itself."""
    with scripted({"/secret": lambda _: iter([response(200, b"secret")])}) as script:
        script.answers["/to-loopback"] = lambda _: iter([response(302, Location=script.url.replace("127.0.0.1", "127.0.0.2") + "/secret")])
        script.answers["/to-name"] = lambda _: iter([response(302, Location=script.url.replace("127.0.0.1", "localhost") + "/secret")])
        yield script


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.0.0.1", "127.000.000.001", "0", "0.0.0.0", "localhost", "LocalHost",
        "user:word@127.0.0.1", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[fec0::1]", "224.0.0.1", "[ff02::1]", "255.255.255.255",
    ],
)  # fmt: skip
def test_every_spelling_of_an_internal_address_is_refused_before_a_connection(server: Script, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: pytest.fail(f"connects to {arguments[1:]}"))
    found = get(f"http://{host}:{server.url.rpartition(':')[2]}/secret")
    assert (found.body, found.status, found.attempts) == (None, Status.FORBIDDEN_ADDRESS, 1), found
    assert "no public address" in str(found.error)
    assert not server.requests


@pytest.mark.parametrize("host", ["127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1%00.example", "127.0.0.1\\@public.example", "127.0.0.1#@public.example", "[::1%25lo]", "[::ffff:127.0.0.1%25lo]"])
def test_odd_spellings_lead_nowhere(server: Script, host: str) -> None:
    assert get(f"http://{host}:{server.url.rpartition(':')[2]}/secret", retries=0).body is None
    assert not server.requests


@given(address=st.sampled_from(INTERNAL).flatmap(lambda network: st.integers(int(network[0]), int(network[-1]))), form=st.sampled_from(["{}", "::ffff:{}", "64:ff9b::{}"]))
def test_no_internal_address_counts_as_public(address: int, form: str) -> None:
    text = form.format(IPv4Address(address))
    assert not Allowed().address(text)
    assert Allowed.of([f"{IPv4Address(address)}/32"], []).address(text)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_are_asked(address: str) -> None:
    assert Allowed().address(address)


@pytest.mark.parametrize("path", ["/to-loopback", "/to-name"])
def test_a_redirect_is_refused_where_it_leads_inside(server: Script, path: str) -> None:
    found = get(server.url + path, allowed_networks=("127.0.0.1/32",)) if path == "/to-loopback" else get(f"http://images.example{path}", mirrors=(("http://images.example", server.url),))
    assert (found.status, found.attempts) == (Status.FORBIDDEN_ADDRESS, 1), found
    assert dict(server.requests) == {path: 1}


def test_a_mirror_and_named_networks_are_asked(server: Script) -> None:
    assert get("http://images.example/secret", mirrors=(("http://images.example", server.url),)).body == b"secret"
    assert get(f"{server.url}/secret", allowed_networks=("10.0.0.0/8", "127.0.0.0/8")).body == b"secret"
    assert get(f"{server.url}/secret", allowed_networks=("10.0.0.0/8",)).status is Status.FORBIDDEN_ADDRESS


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
    """Makes the name images.example lead to one answer after the other, the last for ever."""
    real, left = socket.getaddrinfo, itertools.chain(answers, itertools.repeat(answers[-1]))

    def resolve(host: str, port: int, *arguments: Any, **named: Any) -> list[Any]:
        addresses = next(left) if host == "images.example" else (host,)
        return [entry for address in addresses for entry in real(address, port, *arguments, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_the_address_that_was_checked_is_the_one_that_is_asked(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that changes its address once it has been looked at (DNS rebinding)."""
    resolving(monkeypatch, ("127.0.0.1",), ("127.0.0.2",))
    url = f"http://images.example:{server.url.rpartition(':')[2]}/secret"
    options = replace(QUICK, allowed_networks=("127.0.0.1/32",))
    pool = Connections(1, options.allowed)
    assert fetch(pool, url, options).body == b"secret"
    again = fetch(pool, url, options)  # the server has closed the connection
    assert again.status is Status.FORBIDDEN_ADDRESS
    assert "images.example leads to 127.0.0.2" in str(again.error)


def test_a_name_with_one_internal_address_is_refused_whole(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ("127.0.0.1", "10.0.0.1"))
    assert get(f"http://images.example:{server.url.rpartition(':')[2]}/secret", allowed_networks=("127.0.0.0/8",)).status is Status.FORBIDDEN_ADDRESS
    assert not server.requests


def test_further_addresses_are_tried_where_one_does_not_answer(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ("127.0.0.3", "127.0.0.1"))
    assert get(f"http://images.example:{server.url.rpartition(':')[2]}/secret", allowed_networks=("127.0.0.0/8",)).body == b"secret"
