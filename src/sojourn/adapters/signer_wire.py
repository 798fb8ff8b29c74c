"""What a server and its signer say to each other over a Unix socket: make, sign, forget, nothing else.

A message is a JSON head and octets, each after its length in four bytes. No word of it asks for a
private key, and no answer holds one.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Final

from sojourn.core.errors import Invalid

_LENGTH: Final = 4
_LARGEST_HEAD: Final = 64 * 1024
LARGEST: Final = 64 << 20  # a bundle of a long session is signed as it is

Head = Mapping[str, object]


def send(connection: socket.socket, head: Head, octets: bytes = b"") -> None:
    """Send one message."""
    raw = json.dumps(head).encode()
    connection.sendall(
        len(raw).to_bytes(_LENGTH, "big") + raw + len(octets).to_bytes(_LENGTH, "big") + octets
    )


def receive(connection: socket.socket) -> tuple[Head, bytes]:
    """Read one message.

    Raises:
        OSError: the other side hung up.
        Invalid: code `bad_message`; it is none.
    """
    try:
        head = json.loads(_part(connection, _LARGEST_HEAD))
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_message", "not a message of a server to its signer") from error
    if not isinstance(head, dict):
        raise Invalid("bad_message", "not a message of a server to its signer")
    return head, _part(connection, LARGEST)


def _part(connection: socket.socket, most: int) -> bytes:
    size = int.from_bytes(_exactly(connection, _LENGTH), "big")
    if size > most:
        raise Invalid("bad_message", f"expected at most {most} bytes")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = connection.recv(min(size - len(found), 1 << 20))
        if not piece:
            raise ConnectionResetError("the other side hung up")
        found += piece
    return bytes(found)
