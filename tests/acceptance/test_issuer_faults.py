"""While an issuer misbehaves nothing opens by it, and what lives goes on living and ends as ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from sojourn.client.evidence import HeldSource, Workload
from tests.acceptance.attested import opened, refusal
from tests.acceptance.login import lets_in
from tests.rig.issuers.issuer import Issuer
from tests.rig.issuers.platforms import Platforms
from tests.rig.system import DATABASE_GRANT, OWNER, TARGET, System

CLAIMS: Final = {"sub": "client-7", "team": "shop"}
ATTEMPTS: Final = 10
FAULTS: Final[dict[str, Callable[[Issuer], object]]] = {
    "down": lambda issuer: setattr(issuer, "down", True),
    "empty": lambda issuer: setattr(issuer, "keys", {}),
    "huge": lambda issuer: setattr(issuer, "body", b"x" * 10_000_000),
    "slow": lambda issuer: setattr(issuer, "slow_s", 20.0),
}


@pytest.fixture(scope="module")
def system(attested: System, platforms: Platforms) -> System:
    """A system with a client for each issuer that will misbehave, and a charter that asks nothing fresh."""
    issuers = {**platforms.faulty, "unlisted": platforms.unlisted}
    for name, issuer in issuers.items():
        rule = {"issuer": issuer.url, "team": "shop"}
        body = {"name": name, "role": "workload", "owner": OWNER, "attestor": "oidc", "rule": rule}
        attested.operator.ask("POST", "/v1/clients", body)
    grants = {DATABASE_GRANT: {"target": TARGET, "template": "readonly"}}
    attested.apply_charter(name="by-idp", clients=[*issuers, "runner"], grants=grants)
    return attested


def workload(system: System, issuer: Issuer, name: str) -> Workload:
    """One that shows a token by the issuer's key of now."""
    token = issuer.sign({**issuer.stamp(system.issuer), **CLAIMS})
    return Workload(system.issuer, HeldSource("oidc", token, name))


def code(system: System, issuer: Issuer, name: str) -> str:
    return refusal(system, workload(system, issuer, name), "by-idp").code


@pytest.mark.parametrize(
    "fault", [*(name for name in FAULTS if name != "slow"), pytest.param("slow", marks=pytest.mark.slow)]
)
def test_an_issuer_that_cannot_answer_opens_nothing_and_holds_up_nobody(
    system: System, platforms: Platforms, fault: str
) -> None:
    issuer = platforms.faulty[fault]
    shown = [workload(system, issuer, fault) for _ in range(ATTEMPTS)]
    FAULTS[fault](issuer)
    live = system.open(grants=[DATABASE_GRANT])

    with ThreadPoolExecutor(ATTEMPTS) as pool:
        refused = [pool.submit(refusal, system, one, "by-idp") for one in shown]
        began = time.monotonic()
        assert live.beat().state == "active" and lets_in(live.credentials[0])
        system.end(live.id)
        assert system.look(live.id, until_ended_s=20).state == "ended"
        took_s = time.monotonic() - began
        codes = {one.result().code for one in refused}

    assert codes <= {"issuer_unavailable", "bad_evidence"}, codes
    assert max(issuer.server.seen.values()) <= 1, "one asks for all, and not again within 10 s"
    assert not lets_in(live.credentials[0])
    print(f"{fault}: {codes}, {issuer.fetches} fetches; a beat and an end took {took_s:.2f} s meanwhile")


def test_an_issuer_that_rotates_with_each_token_is_asked_once_in_ten_seconds(
    system: System, platforms: Platforms
) -> None:
    issuer = platforms.faulty["rotating"]
    began = time.monotonic()
    live = opened(system, workload(system, issuer, "rotating"), "by-idp")

    for _ in range(ATTEMPTS):
        issuer.rotate()
        assert code(system, issuer, "rotating") in ("bad_evidence", "unknown_kid")

    assert issuer.fetches <= 1 + (time.monotonic() - began) / 10
    assert live.beat().state == "active", "its own key says that it lives"
    system.end(live.id)
    assert system.look(live.id, until_ended_s=20).state == "ended"


def test_a_new_key_under_a_known_id_opens_nothing(system: System, platforms: Platforms) -> None:
    issuer = platforms.faulty["reused"]
    live = opened(system, workload(system, issuer, "reused"), "by-idp")
    issuer.rotate(kid=issuer.signing)

    codes = {code(system, issuer, "reused") for _ in range(ATTEMPTS)}

    assert codes == {"bad_evidence"}
    assert live.beat().state == "active"
    live.complete()


def test_an_issuer_inside_that_no_file_names_gets_no_request(system: System, platforms: Platforms) -> None:
    issuer = platforms.unlisted

    codes = {code(system, issuer, "unlisted") for _ in range(3)}

    assert codes == {"issuer_unavailable"}
    assert not issuer.server.seen, "not one request reached an address on loopback"
