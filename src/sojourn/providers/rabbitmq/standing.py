"""Users that no session made: what the management API tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sojourn.core.standing import Standing
from sojourn.providers.rabbitmq.api import Api

_PRIVILEGED: Final = frozenset({"administrator"})  # it makes users, and gives them every permission


async def standing_users(api: Api, prefix: str, place: str) -> list[Standing]:
    """Every user; the admin's own is among them.

    RabbitMQ keeps neither the age of a user nor its last use: one that is connected now was used
    when its latest connection began.
    """
    used: dict[str, datetime] = {}
    for one in await api.get("connections") or []:
        begun = _instant(one.get("connected_at"))
        if begun is not None:
            user = str(one.get("user"))
            used[user] = max(begun, used.get(user, begun))
    users = [user for user in await api.get("users") or [] if not str(user["name"]).startswith(prefix)]
    return [_standing(user, place, used.get(str(user["name"]))) for user in users]


def tags_of(user: Mapping[str, Any]) -> Sequence[str]:
    """The tags of a user: a list since 3.9, one string with commas before."""
    tags = user.get("tags", [])
    return tags.split(",") if isinstance(tags, str) else [str(tag) for tag in tags]


def _standing(user: Mapping[str, Any], place: str, used: datetime | None) -> Standing:
    name = str(user["name"])
    return Standing(
        kind="rabbitmq_user",
        place=f"amqp://{place}",
        name=name,
        last_used_at=used,
        owner_guess=name,
        privileged=not _PRIVILEGED.isdisjoint(tags_of(user)),
        grants={"queues": {"target": "CHANGE-ME-rabbitmq", "template": "readonly"}},
    )


def _instant(value: object) -> datetime | None:
    """The API tells milliseconds since 1970."""
    return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) and value > 0 else None
