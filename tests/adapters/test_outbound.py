"""No request leaves for loopback, link-local or private addresses unless they are allowed by name."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.adapters.outbound import LARGEST, Ask, fetch, is_reachable
from sojourn.core.errors import Unavailable
from sojourn.ports.issuers import Reach
from tests.rig.issuers.issuer import HttpsServer
from tests.rig.issuers.tls import Authority

pytestmark = pytest.mark.anyio

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:8.8.8.8",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
]


@pytest.mark.parametrize("text", INSIDE)
def test_an_address_inside_is_not_reachable(text: str) -> None:
    assert not is_reachable(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ["140.82.112.3", "2606:50c0:8000::154"])
def test_a_public_address_is_reachable(text: str) -> None:
    assert is_reachable(ipaddress.ip_address(text), ())


def test_a_network_that_is_allowed_is_reachable_and_no_other() -> None:
    assert is_reachable(ipaddress.ip_address("10.1.2.3"), ("10.1.0.0/16",))
    assert not is_reachable(ipaddress.ip_address("10.2.2.3"), ("10.1.0.0/16",))
    assert not is_reachable(ipaddress.ip_address("::ffff:10.1.2.3"), ("10.1.0.0/16",))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[HttpsServer]:
    made = HttpsServer(authority.server())
    made.routes["/plain"] = lambda call: (200, {}, b"{}")
    made.routes["/away"] = lambda call: (302, {"location": f"{made.url}/plain"}, b"")
    made.routes["/large"] = lambda call: (200, {}, b"x" * (LARGEST + 1))
    made.routes["/zipped"] = lambda call: (200, {"content-encoding": "gzip"}, b"\x1f\x8b")
    yield made
    made.close()


def allowed(authority: Authority) -> Reach:
    return Reach(("127.0.0.0/8",), authority.path)


async def test_an_allowed_address_answers(server: HttpsServer, authority: Authority) -> None:
    answer = await fetch(Ask(f"{server.url}/plain", allowed(authority)))

    assert (answer.status, answer.body) == (200, b"{}")


async def test_a_redirect_is_not_followed(server: HttpsServer, authority: Authority) -> None:
    answer = await fetch(Ask(f"{server.url}/away", allowed(authority)))

    assert answer.status == 302 and server.seen["/plain"] == 0


@pytest.mark.parametrize("path", ["/large", "/zipped"])
async def test_an_answer_beyond_its_bounds_is_refused(
    server: HttpsServer, authority: Authority, path: str
) -> None:
    with pytest.raises(Unavailable) as refusal:
        await fetch(Ask(f"{server.url}{path}", allowed(authority)))

    assert refusal.value.code == "unreachable_issuer"


async def test_a_certificate_of_a_stranger_is_refused(server: HttpsServer) -> None:
    with pytest.raises(Unavailable):
        await fetch(Ask(f"{server.url}/plain", Reach(("127.0.0.0/8",))))


async def test_a_certificate_for_another_name_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HttpsServer(authority.server())
    real = socket.getaddrinfo

    def lie(host: str, *args: object, **named: object) -> object:
        return real("127.0.0.1" if host == "issuer.example" else host, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    port = server.url.rpartition(":")[2]
    try:
        with pytest.raises(Unavailable):
            await fetch(Ask(f"https://issuer.example:{port}/", allowed(authority)))
    finally:
        server.close()
    assert not server.seen


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
    ],
)
async def test_no_spelling_of_loopback_gets_a_packet(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]

        with pytest.raises(Unavailable):
            await fetch(Ask(f"https://{host}:{port}/", Reach(("10.0.0.0/8",))))

        with pytest.raises(TimeoutError):
            listener.accept()


async def test_a_name_is_resolved_once_and_all_its_addresses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answer)

    with pytest.raises(Unavailable) as refusal:
        await fetch(Ask("https://rebinding.example/"))

    assert "private network" in refusal.value.message and asked == ["rebinding.example"]


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "https://user:word@8.8.8.8/",
        "https://8.8.8.8:8443/",
        "https://8.8.8.8:99999/",
        "ftp://x/",
    ],
)
async def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(Unavailable):
        await fetch(Ask(url))


def test_the_rig_serves_tls(authority: Authority) -> None:
    assert isinstance(authority.server(), ssl.SSLContext)
