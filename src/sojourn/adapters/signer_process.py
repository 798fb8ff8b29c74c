"""The other end of a `SocketVault`: a process that holds a vault and signs for one user, nobody else."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import socket
import socketserver
import struct
from pathlib import Path
from typing import Final

from sojourn.adapters.signer_wire import Head, receive, send
from sojourn.core.errors import Invalid, SojournError
from sojourn.ports.keys import KeyVault, MadeKey

log: Final = logging.getLogger("sojourn.signer")
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


class Signer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Listens at `path`, a 0600 socket, and answers peers of user `uid`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, path: Path, vault: KeyVault, *, uid: int) -> None:
        """Take the path, over the socket of a signer that is gone.

        Raises:
            Invalid: code `unsafe_file`; something else lies there, or a signer answers.
        """
        self.vault, self.uid = vault, uid
        _make_room(path)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Asked)
        finally:
            os.umask(before)
        if uid != os.geteuid():
            os.chown(path, uid, -1)  # the socket is its user's: who may connect is one person

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether the kernel says that the peer is of our user (SO_PEERCRED)."""
        assert isinstance(request, socket.socket)
        raw = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(raw)
        if uid != self.uid:
            log.warning("user %d is not answered", uid)
        return bool(uid == self.uid)


class _Asked(socketserver.BaseRequestHandler):
    server: Signer

    def handle(self) -> None:
        """Answer until the server hangs up."""
        while True:
            try:
                head, octets = receive(self.request)
                answer, given = self._answer(head, octets)
                send(self.request, answer, given)
            except (OSError, Invalid):
                return

    def _answer(self, head: Head, octets: bytes) -> tuple[Head, bytes]:
        vault = self.server.vault
        try:
            match head.get("do"):
                case "make":
                    made = vault.make(str(head.get("algorithm")))
                    return {"jwk": dict(made.jwk), "kid": made.kid}, made.kept
                case "sign":
                    return {}, vault.sign(_key(head), str(head.get("algorithm")), octets)
                case "forget":
                    vault.forget(_key(head))
                    return {}, b""
                case _:
                    return {"error": "bad_message"}, b""
        except SojournError as error:
            return {"error": error.code}, b""


def _key(head: Head) -> MadeKey:
    jwk, kept = head.get("jwk"), head.get("kept")
    if not isinstance(jwk, dict) or not isinstance(kept, str):
        raise Invalid("bad_message", "no key is named")
    try:
        return MadeKey(jwk, str(head.get("kid")), base64.b64decode(kept, validate=True))
    except binascii.Error as error:
        raise Invalid("bad_message", "no key is named") from error


def _make_room(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket() or path.is_symlink():
        raise Invalid("unsafe_file", f"`{path}` is there, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise Invalid("unsafe_file", f"a signer listens at `{path}`")
