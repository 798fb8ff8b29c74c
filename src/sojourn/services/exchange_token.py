"""A token of a session for a token of the same session: another audience, or fewer actions (RFC 8693).

Only the holder of the session's key exchanges, so nobody becomes anybody else. For a child
session see `open_child`.
"""

from __future__ import annotations

from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.ids import SessionId
from sojourn.core.session import is_live
from sojourn.core.token import choose_audience
from sojourn.ports.clock import Clock
from sojourn.ports.store import Store
from sojourn.services.mint_tokens import MintTokens, Token


class ExchangeToken:
    """Signs one more token for a session that lives."""

    def __init__(self, store: Store, clock: Clock, mint: MintTokens) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint

    async def __call__(
        self,
        session_id: SessionId,
        key: str,
        audience: str | None,
        only: frozenset[str] | None = None,
        *,
        may_act: str | None = None,
    ) -> Token:
        """A token for `audience` (None: the only one there is) with no action but those in `only`.

        With `may_act` it serves, beside its audience, the child of that binding and no other.

        Raises:
            NotFound: code `unknown_session`; also for another key, which reads alike.
            Refused: code `session_ended`.
            Invalid: code `invalid_target` or `invalid_scope`.
        """
        mark = (await self._store.head()).mark  # before the session: see `MintTokens`
        session = await self._store.session(session_id)
        if session is None or session.key != key:
            raise NotFound("unknown_session", f"there is no session `{session_id}`")
        if not is_live(session, self._clock.now()) or await self._store.is_restored(session_id):
            raise Refused("session_ended", f"the session is `{session.state}`")
        chosen = choose_audience(session, audience)
        if only is not None and not only <= set(session.grants.actions_at(chosen)):
            raise Invalid(
                "invalid_scope", "the session was not granted all of these actions at this audience"
            )
        return self._mint.one(session, chosen, mark, only=only, may_act=may_act)
