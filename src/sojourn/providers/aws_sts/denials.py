"""Denials of single role sessions, gathered in inline policies of their role.

A policy is named after the hour at which the last of its sessions has expired, and after its
writer. So nobody needs to read before writing (IAM answers with what was true a while ago), two
writers never overwrite each other, and what has expired is removed whole, by name alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from sojourn.core.errors import TargetError
from sojourn.core.window import EPOCH
from sojourn.ports.clock import WallClock
from sojourn.providers.aws_sts.wire import Service

HOUR: Final = 3600
CLEAN_EVERY: Final = timedelta(minutes=10)
_MARGIN: Final = timedelta(minutes=15)  # clocks, and requests that were signed before
_NAME: Final = re.compile(r"sojourn-deny-([0-9]{10})-[0-9a-f]{8}")
_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Denial:
    """A pattern of role-session ids that the role denies everything, and since when."""

    pattern: str
    since: datetime
    bucket: int


@dataclass(slots=True)
class Denials:
    """What this process has denied of one role; another process has policies of its own."""

    iam: Service
    role: str
    writer: str  # eight hex digits
    clock: WallClock
    _denied: dict[str, Denial] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _cleaned_at: datetime | None = None

    async def deny(self, pattern: str, until: datetime) -> None:
        """Deny everything to role sessions that match `pattern`, until they have expired.

        Raises:
            TargetError: code `policy_full` when the role's policies can take no more.
        """
        async with self._turn:
            if pattern in self._denied:
                return
            await self._clean_if_due()
            bucket = _bucket(until)
            patterns = [*self._patterns(bucket), pattern]
            try:
                await self._put(bucket, patterns)
            except TargetError as error:
                if error.code != "policy_full":
                    raise
                await self._clean()
                await self._put(bucket, patterns)
            self._denied[pattern] = Denial(pattern, self.clock.now(), bucket)

    def since(self, role_session: str) -> datetime | None:
        """When this process last denied a role session, if it has."""
        matching = (one.since for one in self._denied.values() if fnmatchcase(role_session, one.pattern))
        return max(matching, default=None)

    def doubt(self, role_session: str, older_than: timedelta) -> None:
        """Forget denials that should have been heard of by now and were not: they are made again."""
        limit = self.clock.now() - older_than
        doubted = [
            one.pattern
            for one in self._denied.values()
            if fnmatchcase(role_session, one.pattern) and one.since <= limit
        ]
        for pattern in doubted:
            del self._denied[pattern]

    def has(self, pattern: str) -> bool:
        """Whether exactly this pattern is denied."""
        return pattern in self._denied

    def _patterns(self, bucket: int) -> Iterator[str]:
        return (one.pattern for one in self._denied.values() if one.bucket == bucket)

    async def _put(self, bucket: int, patterns: list[str]) -> None:
        statement = {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringLike": {"aws:userid": patterns}},
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        await self.iam.call(
            "put_role_policy",
            RoleName=self.role,
            PolicyName=f"sojourn-deny-{bucket}-{self.writer}",
            PolicyDocument=json.dumps(document, separators=(",", ":")),
        )

    async def _clean_if_due(self) -> None:
        if self._cleaned_at is None or self.clock.now() >= self._cleaned_at + CLEAN_EVERY:
            await self._clean()

    async def _clean(self) -> None:
        """Remove every policy of ours, whoever wrote it, whose sessions have all expired."""
        now = self.clock.now()
        over = (now - _MARGIN - EPOCH).total_seconds()
        async for name in self._names():
            found = _NAME.fullmatch(name)
            if found and int(found[1]) <= over:
                await self._remove(name)
        self._denied = {p: d for p, d in self._denied.items() if d.bucket > over}
        self._cleaned_at = now

    async def _remove(self, name: str) -> None:
        try:
            await self.iam.call("delete_role_policy", RoleName=self.role, PolicyName=name)
        except TargetError as error:
            if error.code != "missing_object":  # another process was first
                raise

    async def _names(self) -> AsyncIterator[str]:
        marker: dict[str, object] = {}
        for _ in range(_PAGES):
            answer = await self.iam.call("list_role_policies", RoleName=self.role, **marker)
            for name in answer.get("PolicyNames", ()):
                yield str(name)
            if not answer.get("IsTruncated"):
                return
            marker = {"Marker": answer["Marker"]}


def _bucket(until: datetime) -> int:
    """The hour after `until`, in seconds since 1970."""
    seconds = int((until - EPOCH).total_seconds())
    return (seconds // HOUR + 1) * HOUR
