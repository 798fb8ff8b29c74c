"""An API that only knows long-lived keys: the key stays sealed with us, sessions get its use.

Nothing is made in the API. A lease is the right to have requests forwarded under a grant's
rules; taking it away refuses the next request at once and ends the answers that are on their
way. Other nodes look once a second whether their streams may go on, so an absence is said two
seconds after the right was taken away, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from sojourn.core.errors import Invalid, Refused, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import (
    Check,
    Found,
    Incoming,
    Intent,
    Issued,
    Observation,
    Outgoing,
    Presence,
    Ref,
    RevocationClass,
)
from sojourn.providers._http import HttpApi
from sojourn.providers.http_key.config import Config, read_config
from sojourn.providers.http_key.echo import without
from sojourn.providers.http_key.headers import homeward, outward
from sojourn.providers.http_key.preflight import Preflight
from sojourn.providers.http_key.rules import read_rules
from sojourn.providers.http_key.streams import Streams, until

OTHER_NODES_S: Final = 2.0
"""Every node looks each second whether a stream may go on; this is that, and as much again."""

_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 300.0  # a stream that says nothing for so long is taken for dead
_LONGEST_HANDLE: Final = 64
_METHOD: Final = "the state of the lease, and the open streams, 2 s after the refusal"


class HttpKey:
    """One API, its key, and the requests that are under way."""

    def __init__(self, config: Config, clock: WallClock) -> None:
        self._config = config
        self._clock = clock
        self._api = HttpApi(config.base_url, ca_file=config.ca_file)
        self._streams = Streams()
        self._issued: set[str] = set()
        self._destroyed: set[str] = set()
        self._shut_at: dict[str, float] = {}
        self._http: httpx2.AsyncClient | None = None

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> HttpKey:
        """A provider for one API; `secret` is the key itself.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(read_config(settings, secret), clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """Refused at once; live answers are cut by us."""
        return RevocationClass.B

    def check_template(self, template: Mapping[str, object]) -> None:
        """`methods` and `paths`, strictly."""
        read_rules(template)

    async def issue(self, intent: Intent) -> Issued:
        """Grant the use of the key under `intent.handle`; no secret leaves."""
        if not 0 < len(intent.handle) <= _LONGEST_HANDLE:
            raise TargetError("bad_handle", "the handle is empty or too long", sent=False)
        try:
            read_rules(intent.template)
        except Invalid as error:
            raise TargetError(error.code, error.message, sent=False) from error
        if self._clock.now() >= intent.issue_by:
            raise TargetError("deadline_passed", "the deadline passed before it was granted", sent=False)
        if intent.handle in self._issued:
            raise TargetError("handle_taken", "the handle was granted before", sent=False)
        self._issued.add(intent.handle)
        return self._granted(intent.handle)

    async def locate(self, handle: str) -> str | None:
        """The handle itself: the right exists in our records alone."""
        return handle

    async def freeze(self, ref: Ref) -> None:
        """Refuse new requests and end the answers under way."""
        self._shut(ref.handle)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Let requests through again."""
        if self._clock.now() >= intent.issue_by:
            raise TargetError("deadline_passed", "the deadline passed before it was thawed", sent=False)
        if ref.handle in self._destroyed:
            raise TargetError("target_refused", "what was destroyed does not come back", sent=False)
        self._shut_at.pop(ref.handle, None)
        self._streams.reopen(ref.handle)
        return self._granted(ref.handle)

    async def destroy(self, ref: Ref) -> None:
        """Refuse every request from here on, and end the answers under way."""
        self._destroyed.add(ref.handle)
        self._shut(ref.handle)

    async def observe(self, ref: Ref) -> Observation:
        """What of it can still be used, here or at another node."""
        backends = self._streams.count(ref.handle)
        if not self._streams.is_shut(ref.handle):
            if ref.handle in self._issued or ref.target_id is not None:
                return Observation(Presence.PRESENT, _METHOD, {"login": 1, "backends": backends})
            return Observation(Presence.ABSENT, "it was never granted")
        since = asyncio.get_running_loop().time() - self._shut_at[ref.handle]
        if backends or since < OTHER_NODES_S:
            return Observation(Presence.LINGERING, _METHOD, {"login": 0, "backends": backends})
        left = Presence.ABSENT if ref.handle in self._destroyed else Presence.PRESENT
        return Observation(left, _METHOD, {"login": 0, "backends": 0})

    async def inventory(self, prefix: str) -> Sequence[Found] | None:
        """Nothing exists in the API, so there is nothing to list."""
        return None

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """The key itself: safe here, and still a key that works for whoever else has it."""
        grants = {"api": {"target": "CHANGE-ME-http-key", "template": "read"}}
        return [Standing("http_api_key", self._config.base_url, self._config.header, grants=grants)]

    @asynccontextmanager
    async def forward(
        self, handle: str, template: Mapping[str, object], request: Outgoing
    ) -> AsyncIterator[Incoming]:
        """The API's answer to `request`, sent with our key if the template allows it."""
        try:
            read_rules(template).check(request.method, request.path)
        except Invalid as error:
            raise Refused("not_allowed_there", "the grant's template cannot be read") from error
        with self._streams.opened(handle) as over:
            response = await self._send(request)
            try:
                headers = homeward(response.headers.multi_items())
                self._check_answer(response, headers)
                pieces = without(self._config.key.reveal().encode(), response.aiter_bytes())
                yield Incoming(response.status_code, headers, until(over, _our_errors(pieces)))
            finally:
                await response.aclose()

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """See that the API takes the key, refuses a request without it, and that we refuse at the end."""
        return await Preflight(self, self, self._api, self._config.probe_path).run(prefix)

    async def close(self) -> None:
        """End every stream and close the connections."""
        await self._api.close()
        if self._http is not None:
            opened, self._http = self._http, None
            await opened.aclose()

    def _granted(self, handle: str) -> Issued:
        return Issued(handle, {"base_url": self._config.base_url}, Secret(""))

    def _shut(self, handle: str) -> None:
        self._streams.shut(handle)
        self._shut_at.setdefault(handle, asyncio.get_running_loop().time())

    async def _send(self, request: Outgoing) -> httpx2.Response:
        query = f"?{request.query}" if request.query else ""
        url = self._config.base_url.rstrip("/") + request.path + query
        headers = [
            *outward(request.headers, injected=self._config.header),
            ("accept-encoding", "identity"),  # what is compressed could hide the key
            (self._config.header, self._config.value.reveal()),
        ]
        asked = httpx2.Request(request.method, url, headers=headers, content=request.body)
        try:
            return await self._client().send(asked, stream=True)
        except httpx2.ConnectError as error:
            raise TargetError("target_unreachable", "the API cannot be reached", sent=False) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            name = type(error).__name__
            raise TargetError("target_unreachable", f"the API did not answer: {name}") from error

    def _check_answer(self, response: httpx2.Response, headers: Sequence[tuple[str, str]]) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise TargetError("bad_answer", "the API compressed its answer though it was asked not to")
        key = self._config.key.reveal()
        if any(key in value or key in name for name, value in headers):
            raise TargetError("secret_echoed", "the API sent its key back; the answer was stopped")

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            limits = httpx2.Timeout(_SILENCE_S, connect=_CONNECT_S, pool=_CONNECT_S)
            self._http = httpx2.AsyncClient(
                timeout=limits, verify=self._config.ca_file or True, follow_redirects=False, trust_env=False
            )
        return self._http


async def _our_errors(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            yield piece
    except httpx2.HTTPError as error:
        raise TargetError("target_unreachable", f"the answer broke off: {type(error).__name__}") from error
