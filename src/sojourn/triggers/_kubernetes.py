"""Watch one kind of object of a Kubernetes cluster to its end.

One list, then a watch from where the list ended (Kubernetes API concepts, "Efficient detection of
changes"). When the watch breaks off it begins again with a list; objects that were there before
and are not listed any more are over, too. One that is only being deleted still runs.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import httpx2

from sojourn.core.ending import Reason
from sojourn.core.errors import Unavailable
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Signal

PAGE: Final = 500
WATCH_S: Final = 300  # then the server ends the watch by itself
CONNECT_S: Final = 5.0
LARGEST_LINE: Final = 4 * 1024 * 1024

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind of object: where it is listed, by which fact sessions name it, when it is over."""

    group: str  # such as `/api/v1`
    plural: str
    word: str  # for people
    fact: str
    over: Callable[[Json], str | None]  # how it ended, if it did


class KubernetesWatch:
    """Follows one cluster, or one namespace of it; remembers which objects it has seen alive."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._alive: dict[str, set[str]] = {}

    async def watch(self, settings: Mapping[str, str], secret: Secret) -> AsyncIterator[tuple[Signal, ...]]:
        """Signals as they come, until the connection ends.

        Raises:
            Unavailable: code `watch_lost`; begin again.
        """
        alive = self._alive.setdefault(f"{settings.get('server')} {settings.get('namespace')}", set())
        timeout = httpx2.Timeout(CONNECT_S, read=WATCH_S + 2 * CONNECT_S)
        headers = {"Authorization": f"Bearer {secret.reveal()}", "Accept": "application/json"}
        try:
            async with httpx2.AsyncClient(
                base_url=settings.get("server", ""),
                headers=headers,
                timeout=timeout,
                verify=_tls(settings),
                trust_env=False,
                follow_redirects=False,
            ) as client:
                path = _path(self._watched, settings)
                listed, version, over = await _list(client, path, self._watched)
                gone = alive - listed
                over += [(uid, "deleted") for uid in sorted(gone)]
                yield tuple(self._signal(uid, how) for uid, how in over)
                alive.clear()
                alive.update(listed)
                async for one in _follow(client, path, version):
                    uid, how = _news(one, self._watched)
                    if how is None:
                        alive.add(uid)
                    else:
                        alive.discard(uid)
                        yield (self._signal(uid, how),)
        except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            lost = f"the watch of {self._watched.plural} broke off: {type(error).__name__}"
            raise Unavailable("watch_lost", lost) from error

    def _signal(self, uid: str, how: str) -> Signal:
        return Signal(Reason.JOB_FINISHED, {self._watched.fact: uid}, f"{self._watched.word} {how}"[:80])


def _tls(settings: Mapping[str, str]) -> ssl.SSLContext | bool:
    place = settings.get("ca_file")
    return ssl.create_default_context(cafile=place) if place else True


def _path(watched: Watched, settings: Mapping[str, str]) -> str:
    namespace = settings.get("namespace")
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{watched.group}{within}/{watched.plural}"


async def _list(
    client: httpx2.AsyncClient, path: str, watched: Watched
) -> tuple[set[str], str, list[tuple[str, str]]]:
    """Who is alive, from which version on to watch, and who is over, and how."""
    alive: set[str] = set()
    over: list[tuple[str, str]] = []
    following = ""
    while True:
        query = {"limit": str(PAGE), **({"continue": following} if following else {})}
        answer = await client.get(f"{path}?{urlencode(query)}")
        answer.raise_for_status()
        page = _object(answer.content)
        for one in _items(page):
            uid, how = _uid(one), watched.over(one)
            if how is None:
                alive.add(uid)
            else:
                over.append((uid, how))
        meta = member(page, "metadata")
        following = str(meta.get("continue") or "")
        if not following:
            return alive, str(meta["resourceVersion"]), over


async def _follow(client: httpx2.AsyncClient, path: str, version: str) -> AsyncIterator[Json]:
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(WATCH_S)}
    async with client.stream("GET", f"{path}?{urlencode(query)}") as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if len(line) > LARGEST_LINE:
                raise ValueError("a line of the watch is too long")
            if line.strip():
                event = _object(line.encode())
                if event.get("type") == "BOOKMARK":
                    continue
                if event.get("type") == "ERROR":
                    raise ValueError("the watch is too old")
                yield event


def _news(event: Json, watched: Watched) -> tuple[str, str | None]:
    """Which object an event is about, and how it ended if it did."""
    found = member(event, "object")
    uid = _uid(found)
    return uid, "deleted" if event.get("type") == "DELETED" else watched.over(found)


def _uid(found: Json) -> str:
    uid = member(found, "metadata")["uid"]
    if not isinstance(uid, str) or not uid:
        raise ValueError("an object without a uid")
    return uid


def _items(page: Json) -> list[Json]:
    items = page["items"]
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise ValueError("a list without items")
    return items


def member(found: Json, name: str) -> Json:
    """A member that is an object; an empty one if it is missing. Raises `TypeError` otherwise."""
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` is no object")
    return value


def _object(raw: bytes) -> Json:
    value = json.loads(raw)
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value
