"""What an operator may do: the policies are asked about every operation, by its name.

What only takes away is refused by nothing but a policy that says so: where policies cannot
be read or evaluated, or none permits, an operator can still stop things.
"""

from __future__ import annotations

from typing import Final

from fastapi import Request

from sojourn.core.client import Client
from sojourn.core.ids import SessionId
from sojourn.faces.http.desk import desk_of

TAKES_AWAY: Final = frozenset(
    {
        "kill",
        "suspend",
        "narrow",
        "drain_target",
        "remove_target",
        "remove_client",
        "enter_phase",
        "order_kill",
        "offboard_owner",
        "revoke_key",
        "withdraw_approval",
        "unlink_person",
    }
)
"""Operations that can only remove access."""


async def require_right(request: Request, operator: Client) -> None:
    """Refuse what no policy lets this operator do.

    Raises:
        Refused: code `policy_refused` or `policy_error`.
    """
    desk, verb = desk_of(request), _verb(request)
    kind = request.url.path.removeprefix("/v1/").partition("/")[0]
    named: dict[str, str] = request.path_params
    name = next(iter(named.values()), "")

    async def owner() -> str:
        session = await desk.store.session(SessionId(name)) if "session_id" in named else None
        return session.owner if session else ""

    await desk.verbs.operate(operator, verb, (kind, name[:256]), owner, takes_away=verb in TAKES_AWAY)


def _verb(request: Request) -> str:
    return str(getattr(request.scope.get("endpoint"), "__name__", "unknown"))
