"""Nonces at guards: a proof serves at one process only, and not at its successor (RFC 9449, section 9)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sojourn.core.errors import Invalid, NonceWanted, SojournError
from sojourn.core.proof import ath_of
from sojourn.guard.asgi import Guard
from sojourn.guard.nonces import Nonces
from sojourn.guard.verifier import Rules, Verifier
from sojourn.guard.wsgi import WsgiGuard
from sojourn.jose import sign_proof
from tests.guard.bench import ISSUER, ISSUER_KEY, URL, WORK, Bench, token_of
from tests.guard.world import AUDIENCE, BASE, Plane, Workload, free_port, now, running_plane, served, until


class Still(Nonces):
    """Nonces whose minute never passes."""

    def good(self, now: datetime) -> tuple[str, ...]:
        return super().good(datetime(2026, 1, 1, tzinfo=UTC))


class OneGuard(Bench):
    """A guard of its own: what it has seen, and what it wants in proofs."""

    def __init__(self, nonces: Nonces) -> None:
        super().__init__()
        self.verifier = Verifier(Rules(ISSUER, AUDIENCE, nonces=nonces), self.view, self.clock)
        self.verifier.trust({ISSUER_KEY.thumbprint: ISSUER_KEY.public})

    def proof(self, token: str, nonce: str | None) -> str:
        WORK.count += 1
        at, jti = self.clock.now(), f"n{WORK.count}"
        return sign_proof(WORK.key, "GET", URL, at, jti=jti, ath=ath_of(token), nonce=nonce)

    def wanted(self, token: str) -> str:
        with pytest.raises(NonceWanted) as refused:
            self.verifier.check(self.call(token, self.proof(token, None)))
        return refused.value.nonce


def test_a_proof_serves_once_and_at_the_process_that_gave_its_nonce() -> None:
    first, others = OneGuard(Nonces.own()), [OneGuard(Nonces.own()) for _ in range(3)]
    token = token_of(first)
    proof = first.proof(token, first.wanted(token))

    assert [other.code(token, proof) for other in others] == ["use_dpop_nonce"] * 3
    assert (first.code(token, proof), first.code(token, proof)) == ("ok", "replayed_proof")
    successor = OneGuard(Nonces.own())  # the same address after a restart: it remembers nothing
    assert successor.code(token, proof) == "use_dpop_nonce"


def test_without_nonces_none_is_asked_for(bench: Bench) -> None:
    assert bench.code(token_of(bench)) == "ok"


def test_a_nonce_is_good_for_its_minute_and_the_next_and_a_fresh_one_is_given_meanwhile() -> None:
    process = OneGuard(Nonces.own())
    token = token_of(process)
    nonce = process.wanted(token)
    heard: list[str] = []

    for _ in range(3):
        proof = process.proof(token, nonce)
        try:
            given = process.verifier.check(process.call(token, proof)).next_nonce
            heard.append("current" if given is None else "old")
            assert given != nonce
        except SojournError as error:
            heard.append(error.code)
        process.clock.at += 60
        process.hear()

    assert heard == ["current", "old", "use_dpop_nonce"]


def test_processes_that_share_a_secret_take_each_others_nonces(tmp_path: Path) -> None:
    place = tmp_path / "nonces"
    place.touch(0o600)
    place.write_text("s" * 32)
    one, two = (OneGuard(Nonces.shared(place)) for _ in range(2))
    token = token_of(one)

    assert two.code(token, two.proof(token, one.wanted(token))) == "ok"
    assert "sss" not in repr(Nonces.shared(place))


@pytest.mark.parametrize(("mode", "words"), [(0o644, "s" * 32), (0o600, "short")])
def test_a_secret_that_others_can_read_or_guess_is_refused(tmp_path: Path, mode: int, words: str) -> None:
    place = tmp_path / "nonces"
    place.touch(mode)
    place.write_text(words)

    with pytest.raises(Invalid):
        Nonces.shared(place)


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def _sign(work: Workload, token: str, url: str, nonce: str | None) -> dict[str, str]:
    work.count += 1
    jti = f"h{work.count}-{id(work)}"
    proof = sign_proof(work.key, "GET", url, now(), jti=jti, ath=ath_of(token), nonce=nonce)
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


def _rules(plane: Plane, nonces: Nonces) -> Rules:
    return Rules(plane.issuer, AUDIENCE, nonces=nonces)


def test_over_http_the_nonce_is_told_and_the_next_one_comes_with_an_answer() -> None:
    with running_plane() as plane:
        port, nonces, work = free_port(), Still(b"s" * 32), Workload()
        url, token = f"http://127.0.0.1:{port}/stock", plane.token(work)
        base = url.removesuffix("/stock")
        guard = Guard(_hello, plane.profile, base=base, require={}, rules=_rules(plane, nonces))

        def get(nonce: str | None) -> httpx2.Response:
            return httpx2.get(url, headers=_sign(work, token, url, nonce), trust_env=False)

        with served(guard, port, lifespan="off"):
            refused, good = get(None), get(nonces.good(now())[0])
            old = get(nonces.good(now())[1])

    assert (refused.status_code, refused.json()["code"]) == (401, "use_dpop_nonce")
    assert 'error="use_dpop_nonce"' in refused.headers["www-authenticate"]
    assert refused.headers["dpop-nonce"] in nonces.good(now())
    assert good.status_code == old.status_code == 200
    assert "dpop-nonce" not in good.headers and old.headers["dpop-nonce"] in nonces.good(now())


def test_a_wsgi_guard_does_the_same() -> None:
    with running_plane() as plane:
        nonces, work, answers = Still(b"s" * 32), Workload(), list[tuple[str, dict[str, str]]]()
        token, url = plane.token(work), BASE + "/stock"

        def app(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            start("200 OK", [("content-type", "text/plain")])
            return [b"hello"]

        guard = WsgiGuard(app, plane.profile, base=BASE, require={}, rules=_rules(plane, nonces))
        guard.thread.start()
        until(lambda: guard.verifier.view.mark is not None, 5)
        for nonce in (None, *nonces.good(now())):
            shown = _sign(work, token, url, nonce)
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/stock"}
            environ |= {"HTTP_AUTHORIZATION": shown["Authorization"], "HTTP_DPOP": shown["DPoP"]}
            list(guard(environ, lambda status, headers: answers.append((status, dict(headers)))))
        guard.thread.stop()

    assert [status for status, _ in answers] == ["401 Unauthorized", "200 OK", "200 OK"]
    assert ["dpop-nonce" in headers for _, headers in answers] == [True, False, True]
