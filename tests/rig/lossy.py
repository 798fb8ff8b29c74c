"""A TCP proxy that loses answers: the request arrives, has its effect, and nobody hears of it.

Made for one request a connection, as the client library speaks.
"""

from __future__ import annotations

import random
import socket
import socketserver
import threading
from typing import Final, Self

_PATIENCE_S: Final = 30.0
_PIECE: Final = 1 << 16


class LossyProxy:
    """Stands before `port` on a port of its own; loses the answers to requests that begin with `match`."""

    def __init__(self, port: int, *, share: float, match: bytes, seed: int) -> None:
        self._target, self._share, self._match = port, share, match
        self._chance, self._lock = random.Random(seed), threading.Lock()
        self.passed = 0
        self.lost = 0
        proxy = self

        class _Link(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Link)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE_S)
        with socket.create_connection(("127.0.0.1", self._target), _PATIENCE_S) as server:
            first = client.recv(_PIECE)
            server.sendall(first)
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()
            answer = server.recv(_PIECE)  # it is being answered: what was asked for has been done
            if self._loses(first):
                return
            while answer:
                client.sendall(answer)
                answer = server.recv(_PIECE)

    def _loses(self, first: bytes) -> bool:
        with self._lock:
            lost = first.startswith(self._match) and self._chance.random() < self._share
            self.lost += lost
            self.passed += not lost
        return lost


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other direction has ended
