"""Access keys of an account's users: they work until somebody thinks of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sojourn.core.errors import TargetError
from sojourn.core.standing import Standing
from sojourn.providers.aws_sts.wire import Service

MOST_USERS: Final = 1_000  # two requests or more for each; IAM throttles
_PAGES: Final = 50
_GRANTS: Final = {"cloud": {"target": "CHANGE-ME-aws", "template": "read"}}


async def standing_keys(iam: Service, account: str) -> list[Standing]:
    """Every active access key of the account's users, with the instant of its last use.

    Raises:
        TargetError: code `too_many` beyond `MOST_USERS` users.
    """
    found: list[Standing] = []
    count = 0
    async for user in _every(iam, "list_users", "Users"):
        count += 1
        if count > MOST_USERS:
            raise TargetError("too_many", f"the account has more than {MOST_USERS} users", sent=False)
        name = str(user["UserName"])
        async for key in _every(iam, "list_access_keys", "AccessKeyMetadata", UserName=name):
            if key.get("Status") == "Active":
                found.append(await _standing(iam, account, name, key))
    return found


async def _standing(iam: Service, account: str, user: str, key: Mapping[str, Any]) -> Standing:
    number = str(key["AccessKeyId"])
    answer = await iam.call("get_access_key_last_used", AccessKeyId=number)
    return Standing(
        kind="aws_access_key",
        place=f"aws://{account}",
        name=f"{user}/{number}",
        created_at=_instant(key.get("CreateDate")),
        last_used_at=_instant(answer.get("AccessKeyLastUsed", {}).get("LastUsedDate")),
        owner_guess=user,
        grants=_GRANTS,
    )


async def _every(iam: Service, verb: str, member: str, **told: object) -> AsyncIterator[Mapping[str, Any]]:
    marker: dict[str, object] = {}
    for _ in range(_PAGES):
        answer = await iam.call(verb, **told, **marker)
        for one in answer.get(member, ()):
            yield one
        if not answer.get("IsTruncated"):
            return
        marker = {"Marker": answer["Marker"]}


def _instant(value: object) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else None
