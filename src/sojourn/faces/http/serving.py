"""Runs the app under uvicorn: where to listen, and what must hold before we do."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from sojourn.core.errors import Invalid
from sojourn.faces.http.peer import PeerProtocol, PeerTrust, ask_for_certificates, follow_registrations
from sojourn.jose.certificates import read_authorities

_STOP_WITHIN_S: Final = 5  # longer than any long poll of the feed; then connections are cut
_KEEP_ALIVE_S: Final = 75  # longer than the pause between two heartbeats
_BACKLOG: Final = 2048


@dataclass(frozen=True, slots=True)
class Listen:
    """An address, and the TLS files without which only loopback is allowed."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    client_authorities: Path | None = None  # with it, callers may show a certificate
    proxies: tuple[str, ...] = ()  # whose `Client-Cert` header is believed


def check(listen: Listen) -> None:
    """Refuse to listen beyond loopback without TLS.

    Raises:
        Invalid: code `tls_required`, `bad_tls` or `bad_port`.
    """
    if not 1 <= listen.port <= 65_535:
        raise Invalid("bad_port", f"expected a port from 1 to 65535, got {listen.port}")
    if (listen.certificate is None) != (listen.key is None):
        raise Invalid("bad_tls", "expected a certificate and its key, or neither")
    if listen.client_authorities is not None and listen.certificate is None:
        raise Invalid("bad_tls", "client certificates need TLS: give a certificate and its key")
    for path in (listen.certificate, listen.key, listen.client_authorities):
        if path is not None and not path.is_file():
            raise Invalid("bad_tls", f"there is no file `{path}`")
    if listen.certificate is None and not is_loopback(listen.host):
        raise Invalid(
            "tls_required", f"`{listen.host}` is reachable by others: give a certificate and its key"
        )


def peers_of(listen: Listen) -> PeerTrust:
    """Whose word on client certificates counts here.

    Raises:
        Invalid: code `bad_certificate`.
    """
    place = listen.client_authorities
    return PeerTrust(() if place is None else read_authorities(place.read_bytes()), frozenset(listen.proxies))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name counts as reachable by others."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve(
    app: ASGIApp,
    listen: Listen,
    *,
    started: asyncio.Event,
    stop: asyncio.Event,
    certificates: Callable[[], Awaitable[Sequence[bytes]]] | None = None,
) -> None:
    """Serve until a signal asks to stop, or `stop` is set; `started` is set once the port is open.

    `certificates` gives those that clients are registered with, which TLS then lets through.

    Raises:
        Invalid: as `check`.
    """
    check(listen)
    configuration = _configuration(app, listen)
    server = uvicorn.Server(configuration)
    _outlive_signals()
    tasks = [asyncio.create_task(_watch(server, started, stop))]
    if listen.client_authorities is not None and certificates is not None:
        configuration.load()
        assert configuration.ssl is not None
        tasks.append(asyncio.create_task(follow_registrations(configuration.ssl, certificates)))
    try:
        await server.serve()
    finally:
        for task in tasks:
            task.cancel()


def _outlive_signals() -> None:
    """Let a stop asked for by a signal come back to us: uvicorn raises the signal again when it is done.

    By default that would end us before the last beats are written and the store is closed.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _heard)


def _heard(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends us at once


async def _watch(server: uvicorn.Server, started: asyncio.Event, stop: asyncio.Event) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    started.set()
    await stop.wait()
    server.should_exit = True


def _configuration(app: ASGIApp, listen: Listen) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=listen.host,
        port=listen.port,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        backlog=_BACKLOG,
        access_log=False,  # `request_log` says what may be said
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nobody in front of us is believed about who is calling
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        ssl_certfile=listen.certificate,
        ssl_keyfile=listen.key,
        ssl_context_factory=None if listen.client_authorities is None else _asking(listen),
    )


def _asking(listen: Listen) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    def build(_: uvicorn.Config, usual: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = usual()
        ask_for_certificates(context, peers_of(listen).authorities)
        return context

    return build
