"""A vault in a process of its own: the server holds a socket, and no private key is ever in its memory.

A signer that does not answer costs a quarter of a second once, and is left alone for a moment then:
what must not wait (an end, a refusal) does not wait for it.
"""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sojourn.adapters.signer_wire import Head, receive, send
from sojourn.core.errors import Invalid, Unavailable
from sojourn.ports.keys import MadeKey

SIGN_WITHIN_S: Final = 0.25
MAKE_WITHIN_S: Final = 5.0  # an RSA key takes its time
REST_S: Final = 0.5


class SocketVault:
    """Asks the signer that listens at `path`."""

    def __init__(
        self, path: Path, monotonic: Callable[[], float], *, within_s: float = SIGN_WITHIN_S
    ) -> None:
        self._path, self._within_s = path, within_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._rests_until = float("-inf")

    def make(self, algorithm: str) -> MadeKey:
        """A fresh key, made at the signer."""
        head, kept = self._ask({"do": "make", "algorithm": algorithm}, within_s=MAKE_WITHIN_S)
        jwk = head.get("jwk")
        if not isinstance(jwk, dict):
            raise Unavailable("no_signer", "the signer gave no key")
        return MadeKey({str(name): str(value) for name, value in jwk.items()}, str(head.get("kid")), kept)

    def sign(self, key: MadeKey, algorithm: str, message: bytes) -> bytes:
        """The signature, made at the signer."""
        return self._ask({"do": "sign", "algorithm": algorithm, **_named(key)}, message)[1]

    def forget(self, key: MadeKey) -> None:
        """Have the signer erase what it holds of the key."""
        self._ask({"do": "forget", **_named(key)})

    def _ask(self, head: Head, octets: bytes = b"", *, within_s: float = 0.0) -> tuple[Head, bytes]:
        with self._lock:
            if self._monotonic() < self._rests_until:
                raise Unavailable("no_signer", "the signer did not answer a moment ago")
            try:
                answer, given = self._exchange_afresh(head, octets, max(within_s, self._within_s))
            except (OSError, Invalid) as error:
                self._hang_up()
                self._rests_until = self._monotonic() + REST_S
                raise Unavailable("no_signer", "the signer does not answer") from error
        if (code := answer.get("error")) is not None:
            kind = Invalid if code in ("unsealable", "bad_key") else Unavailable
            raise kind(str(code), "the signer refused")
        return answer, given

    def _exchange_afresh(self, head: Head, octets: bytes, within_s: float) -> tuple[Head, bytes]:
        """As `_exchange`; a connection that died with an earlier signer is made anew, once."""
        if self._connection is not None:
            try:
                return self._exchange(head, octets, within_s)
            except TimeoutError:
                raise
            except (OSError, Invalid):
                self._hang_up()
        return self._exchange(head, octets, within_s)

    def _exchange(self, head: Head, octets: bytes, within_s: float) -> tuple[Head, bytes]:
        if self._connection is None:
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connection.settimeout(self._within_s)
            self._connection.connect(str(self._path))
        self._connection.settimeout(within_s)
        send(self._connection, head, octets)
        return receive(self._connection)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _named(key: MadeKey) -> dict[str, object]:
    return {"jwk": dict(key.jwk), "kid": key.kid, "kept": base64.b64encode(key.kept).decode()}
