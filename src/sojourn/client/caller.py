"""Who is asking: requests signed as a client (token and proof) or as a session (proof alone)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlencode

from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import Json, number, text
from sojourn.client.profile import Profile
from sojourn.client.signing import Es256Key, sign_client_assertion, sign_proof
from sojourn.client.transport import Answer, Transport
from sojourn.core.errors import SojournError, Unavailable
from sojourn.core.secret import Secret

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_READ_TRIES: Final = 3
_EARLY_S: Final = 30.0  # a token this near its end is replaced


class Caller(Protocol):
    """Sends signed requests."""

    def ask(self, method: str, path: str, body: Json | None = None, *, wait_s: float = 0.0) -> Answer:
        """Send one signed request; reads are repeated when the server is away, writes never."""
        ...


class SessionCaller:
    """Asks as the session bound to `key` (no other credential)."""

    def __init__(self, transport: Transport, key: Es256Key, clock: EdgeClock) -> None:
        self.transport, self.key, self._clock = transport, key, clock

    def ask(self, method: str, path: str, body: Json | None = None, *, wait_s: float = 0.0) -> Answer:
        """Send one request with a proof by the session's key."""

        def send() -> Answer:
            url, nonce = self.transport.url(path), self.transport.nonce
            headers = {"DPoP": prove(self.key, self._clock, method, url, nonce=nonce)}
            return send_json(self.transport, method, path, body, headers=headers, wait_s=wait_s)

        return _repeat_reads(method, send)


class ClientCaller:
    """Asks as a registered client: gets a token bound to its key and keeps it in memory."""

    def __init__(self, transport: Transport, profile: Profile, clock: EdgeClock) -> None:
        self.transport, self._profile, self._clock = transport, profile, clock
        self._token: tuple[Secret, float] | None = None

    def ask(self, method: str, path: str, body: Json | None = None, *, wait_s: float = 0.0) -> Answer:
        """Send one request with token and proof."""

        def send() -> Answer:
            token, key = self._fresh_token(), self._profile.key
            url, nonce = self.transport.url(path), self.transport.nonce
            proof = prove(key, self._clock, method, url, access_token=token, nonce=nonce)
            headers = {"Authorization": f"DPoP {token.reveal()}", "DPoP": proof}
            return send_json(self.transport, method, path, body, headers=headers, wait_s=wait_s)

        return _repeat_reads(method, send)

    def _fresh_token(self) -> Secret:
        if self._token is not None and self._token[1] > self._clock.monotonic():
            return self._token[0]
        asked_at = self._clock.monotonic()
        answer = with_nonce(self._ask_token).json()
        token = Secret(text(answer, "access_token"))
        self._token = (token, asked_at + number(answer, "expires_in") - _EARLY_S)
        return token

    def _ask_token(self) -> Answer:
        profile, path = self._profile, "/oauth2/token"
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion(profile, self._clock),
        }
        url, nonce = self.transport.url(path), self.transport.nonce
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": prove(profile.key, self._clock, "POST", url, nonce=nonce),
        }
        return self.transport.send("POST", path, headers, body=urlencode(form).encode("ascii"))


def assertion(profile: Profile, clock: EdgeClock) -> str:
    """A fresh client assertion of `profile` for its issuer, byte for byte as enrolled."""
    jti = secrets.token_urlsafe(16)
    return sign_client_assertion(profile.key, profile.client_id, profile.issuer, clock.now(), jti=jti)


def prove(
    key: Es256Key,
    clock: EdgeClock,
    method: str,
    url: str,
    *,
    access_token: Secret | None = None,
    nonce: str | None = None,
) -> str:
    """A fresh DPoP proof, with the nonce that the server wants, if it said so."""
    jti = secrets.token_urlsafe(16)
    return sign_proof(key, method, url, clock.now(), jti=jti, access_token=access_token, nonce=nonce)


def with_nonce(send: Sending) -> Answer:
    """Send; if only a nonce was missing, send once more with a proof that carries it.

    A proof without its nonce counts for nothing, so nothing happened the first time.
    """
    try:
        return send()
    except SojournError as error:
        if error.code != "use_dpop_nonce":
            raise
    return send()


def send_json(
    transport: Transport,
    method: str,
    path: str,
    body: Json | None,
    *,
    headers: Mapping[str, str],
    wait_s: float = 0.0,
) -> Answer:
    """Send `body` as JSON, if there is one."""
    if body is None:
        return transport.send(method, path, headers, wait_s=wait_s)
    raw = json.dumps(body, separators=(",", ":")).encode("utf-8")
    return transport.send(
        method, path, {**headers, "Content-Type": "application/json"}, body=raw, wait_s=wait_s
    )


class Sending(Protocol):
    """One attempt, with a proof of its own."""

    def __call__(self) -> Answer: ...


def _repeat_reads(method: str, send: Sending) -> Answer:
    for _ in range(_READ_TRIES - 1 if method == "GET" else 0):
        try:
            return with_nonce(send)
        except Unavailable as error:
            if error.code != "no_answer":
                raise
    return with_nonce(send)
