"""The guard's calls to the control plane: its token, the keys of the issuer, and the feed.

Three requests over HTTP, each with one deadline for all of it. What comes back is parsed here;
anything unexpected is `Unavailable`, which makes the guard deaf sooner or later, never open.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import httpx2

from sojourn.core.errors import Invalid, Refused, SojournError, Unavailable
from sojourn.core.proof import ath_of
from sojourn.core.revocation import Entry, Kind, Mark, Page
from sojourn.core.secret import Secret
from sojourn.core.window import parse
from sojourn.guard.budget import Part, Report
from sojourn.guard.clock import GuardClock
from sojourn.guard.profile import GuardProfile
from sojourn.jose import VerifyKey, read_key_set, sign_client_assertion, sign_proof

# A question waits up to 1 s at the server. One lost in the network is given up soon after,
# so that service is back within 2 s of healing.
ANSWER_WITHIN_S: Final = 1.6
CONNECT_WITHIN_S: Final = 0.6  # before the second SYN is due: a new attempt is quicker
CALL_WITHIN_S: Final = 2.0
REFRESH_BEFORE: Final = timedelta(seconds=60)
LARGEST_BODY: Final = 32 * 1024 * 1024  # a snapshot after a kill of 100,000 sessions is 10 MB
_Content = tuple[Mapping[str, object] | None, Mapping[str, str] | None, Secret | None]
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ControlPlane:
    """A connection to the issuer, as one registered guard."""

    def __init__(self, profile: GuardProfile, clock: GuardClock, *, verify: bool | str = True) -> None:
        self._profile = profile
        self._clock = clock
        self._verify = verify
        self._http: httpx2.AsyncClient | None = None
        self._token: Secret | None = None
        self._token_until = 0.0
        self._nonce: str | None = None

    async def close(self) -> None:
        """Drop the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def fetch_keys(self) -> Mapping[str, VerifyKey]:
        """The issuer's token keys.

        Raises:
            SojournError: no answer in time, or not a key set.
        """
        return read_key_set(await self._ask("GET", "/oauth2/jwks", within=CALL_WITHIN_S))

    async def ask_feed(self, mark: Mark | None) -> Page:
        """Everything after `mark`, at once on news, else after 1 s; with no mark a snapshot at once.

        Raises:
            SojournError: no answer in time, or not a page.
        """
        token = await self._fresh_token()
        body = {"mark": None if mark is None else {"epoch": mark.epoch, "n": mark.n}}
        return _page(await self._ask("POST", "/v1/feed", body=body, token=token, within=ANSWER_WITHIN_S))

    async def ask_part(self, session: str, calls: int) -> Part:
        """A part of the session's budget.

        Raises:
            Refused: the code with which the control plane refused.
            Unavailable: no answer in time, or not one of ours.
        """
        body = {"reserve": {"session": session, "want": {"calls": calls}}}
        answer = await self._tell_usage(body)
        found = answer.get("reserved")
        given = found.get("given") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(given, dict):
            raise Unavailable("bad_answer", "the control plane did not answer with a part")
        chunk = found.get("chunk")
        if chunk is not None and not isinstance(chunk, str):
            raise Unavailable("bad_answer", "the control plane did not answer with a part")
        if chunk is None and found.get("limited") is not False:
            raise Unavailable("bad_answer", "a part of a limited budget has no name")
        return Part(chunk, _whole(given, "calls"))

    async def report_use(self, reports: Iterable[Report]) -> None:
        """Tell what was used.

        Raises:
            SojournError: no answer in time, or a refusal.
        """
        told = [
            {
                "session": one.session,
                "chunk": one.chunk,
                "used": {"calls": one.calls},
                "actions": one.actions,
                "failed": one.failed,
            }
            for one in reports
        ]
        await self._tell_usage({"reports": told})

    async def _tell_usage(self, body: Mapping[str, object]) -> Mapping[str, object]:
        token = await self._fresh_token()
        return await self._ask("POST", "/v1/usage", body=body, token=token, within=CALL_WITHIN_S)

    async def _fresh_token(self) -> Secret:
        if self._token is not None and self._clock.mono() < self._token_until:
            return self._token
        profile = self._profile
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": sign_client_assertion(
                profile.key,
                profile.client_id,
                profile.issuer,
                self._clock.now(),
                jti=secrets.token_urlsafe(16),
            ),
        }
        asked_at = self._clock.mono()
        answer = await self._ask("POST", "/oauth2/token", form=form, within=CALL_WITHIN_S)
        granted, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(granted, str) or not isinstance(life, int):
            raise Unavailable("bad_answer", "the token endpoint did not return a token")
        self._token = Secret(granted)
        self._token_until = asked_at + max(life - REFRESH_BEFORE.total_seconds(), life / 2)
        return self._token

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        within: float,
        body: Mapping[str, object] | None = None,
        form: Mapping[str, str] | None = None,
        token: Secret | None = None,
    ) -> Mapping[str, object]:
        answer = await self._send(method, path, (body, form, token), within=within)
        given = answer.headers.get("dpop-nonce")
        if given is not None:  # RFC 9449, section 8: make the proof again, and carry this
            self._nonce = given
            answer = await self._send(method, path, (body, form, token), within=within)
        if answer.status_code in (403, 404) and path == "/v1/usage":
            raise _refusal(answer.content, path)
        if answer.status_code != 200:
            self._token = None if answer.status_code in (401, 403) else self._token
            raise Unavailable("bad_answer", f"`{path}` answered {answer.status_code}")
        return _object(answer.content, path)

    async def _send(self, method: str, path: str, content: _Content, *, within: float) -> httpx2.Response:
        body, form, token = content
        headers = self._headers(method, self._profile.issuer + path, token)
        try:
            async with asyncio.timeout(within):
                return await self._client().request(
                    method, self._profile.issuer + path, json=body, data=form, headers=headers
                )
        except (TimeoutError, httpx2.HTTPError) as error:
            # A connection that swallowed a question may swallow the next one too.
            await self.close()
            raise Unavailable("no_answer", f"`{path}`: no answer from the control plane") from error

    def _headers(self, method: str, url: str, token: Secret | None) -> dict[str, str]:
        jti = secrets.token_urlsafe(16)
        ath = ath_of(token.reveal()) if token else None
        now, key = self._clock.now(), self._profile.key
        headers = {"DPoP": sign_proof(key, method, url, now, jti=jti, ath=ath, nonce=self._nonce)}
        if token is not None:
            headers["Authorization"] = f"DPoP {token.reveal()}"
        return headers

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            limits = httpx2.Timeout(CALL_WITHIN_S, connect=CONNECT_WITHIN_S)
            # The feed must not be led elsewhere: neither by a redirect nor by proxy variables.
            self._http = httpx2.AsyncClient(
                timeout=limits, verify=self._verify, follow_redirects=False, trust_env=False
            )
        return self._http


def _refusal(content: bytes, path: str) -> SojournError:
    """What the control plane said about a session, in its own code."""
    code = _object(content, path).get("code")
    if code in ("budget_spent", "session_ended", "not_found"):
        return Refused("budget_spent" if code == "budget_spent" else "session_over", f"`{path}`: {code}")
    return Unavailable("bad_answer", f"`{path}` refused")


def _object(content: bytes, path: str) -> Mapping[str, object]:
    if len(content) > LARGEST_BODY:
        raise Unavailable("bad_answer", f"`{path}` answered with too much")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unavailable("bad_answer", f"`{path}` did not answer with JSON") from error
    if not isinstance(value, dict):
        raise Unavailable("bad_answer", f"`{path}` did not answer with an object")
    return value


def _page(answer: Mapping[str, object]) -> Page:
    try:
        entries = answer["entries"]
        if not isinstance(entries, list) or not isinstance(answer["snapshot"], bool):
            raise Invalid("bad_page", "expected `entries` and `snapshot`")
        mark = Mark(_whole(answer, "epoch"), _whole(answer, "n"))
        return Page(mark, parse(str(answer["server_time"])), answer["snapshot"], tuple(map(_entry, entries)))
    except (KeyError, TypeError, ValueError, SojournError) as error:
        raise Unavailable("bad_answer", "the feed did not answer with a page") from error


def _entry(found: Mapping[str, object]) -> Entry:
    # A kind we do not know may be one that ends sessions: the page fails, and we go deaf.
    subject = found["id"]
    if not isinstance(subject, str):
        raise Invalid("bad_page", "expected `id` to be a string")
    min_gen = None if found.get("min_gen") is None else _whole(found, "min_gen")
    return Entry(_whole(found, "n"), Kind(str(found["kind"])), subject, min_gen)


def _whole(found: Mapping[str, object], name: str) -> int:
    value = found[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Invalid("bad_page", f"expected `{name}` to be a whole number")
    return value
