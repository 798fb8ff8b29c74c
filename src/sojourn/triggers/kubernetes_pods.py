"""Watch the Pods of a Kubernetes cluster to their end: succeeded, failed, or deleted.

One list, then a watch from where the list ended (Kubernetes API concepts, "Efficient detection of
changes"). When the watch breaks off it begins again with a list; Pods that were there before
and are not listed any more are over, too. A Pod that is only being deleted still runs.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import quote, urlencode

import httpx2

from sojourn.core.ending import Reason
from sojourn.core.errors import Unavailable
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Signal

TERMINAL: Final = frozenset({"Succeeded", "Failed"})
PAGE: Final = 500
WATCH_S: Final = 300  # then the server ends the watch by itself
CONNECT_S: Final = 5.0
LARGEST_LINE: Final = 4 * 1024 * 1024

Json = Mapping[str, object]


class KubernetesPods:
    """Follows one cluster, or one namespace of it; remembers which Pods it has seen alive."""

    def __init__(self) -> None:
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
                path = _path(settings)
                listed, version, signals = await _list(client, path)
                gone = alive - listed
                yield (*signals, *(_over(uid, "deleted") for uid in sorted(gone)))
                alive.clear()
                alive.update(listed)
                async for one in _follow(client, path, version):
                    uid, what = _news(one)
                    if what is None:
                        alive.add(uid)
                    else:
                        alive.discard(uid)
                        yield (_over(uid, what),)
        except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unavailable("watch_lost", f"the watch of Pods broke off: {type(error).__name__}") from error


def _tls(settings: Mapping[str, str]) -> ssl.SSLContext | bool:
    place = settings.get("ca_file")
    return ssl.create_default_context(cafile=place) if place else True


def _path(settings: Mapping[str, str]) -> str:
    namespace = settings.get("namespace")
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods" if namespace else "/api/v1/pods"


async def _list(client: httpx2.AsyncClient, path: str) -> tuple[set[str], str, list[Signal]]:
    alive: set[str] = set()
    over: list[Signal] = []
    following = ""
    while True:
        query = {"limit": str(PAGE), **({"continue": following} if following else {})}
        answer = await client.get(f"{path}?{urlencode(query)}")
        answer.raise_for_status()
        page = _object(answer.content)
        for pod in _items(page):
            uid, phase = _uid(pod), _phase(pod)
            if phase in TERMINAL:
                over.append(_over(uid, phase.lower()))
            else:
                alive.add(uid)
        meta = _member(page, "metadata")
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


def _news(event: Json) -> tuple[str, str | None]:
    """Which Pod an event is about, and how it ended if it did."""
    pod = _member(event, "object")
    uid, phase = _uid(pod), _phase(pod)
    if event.get("type") == "DELETED":
        return uid, "deleted"
    return uid, phase.lower() if phase in TERMINAL else None


def _over(uid: str, how: str) -> Signal:
    return Signal(Reason.JOB_FINISHED, {"kubernetes.pod_uid": uid}, f"pod {how}")


def _uid(pod: Json) -> str:
    uid = _member(pod, "metadata")["uid"]
    if not isinstance(uid, str) or not uid:
        raise ValueError("a Pod without a uid")
    return uid


def _phase(pod: Json) -> str:
    return str(_member(pod, "status").get("phase", ""))


def _items(page: Json) -> list[Json]:
    items = page["items"]
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise ValueError("a list without items")
    return items


def _member(found: Json, name: str) -> Json:
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` is no object")
    return value


def _object(raw: bytes) -> Json:
    value = json.loads(raw)
    if not isinstance(value, dict):
        raise TypeError("no object")
    return value
