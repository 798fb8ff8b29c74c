"""A workload with nothing but a certificate opens, beats and resumes; through a proxy that ends TLS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sojourn.client.evidence import Workload
from sojourn.client.jsonfacts import member, text
from sojourn.client.session import Wish, open_session
from sojourn.client.transport import Answer, Transport
from sojourn.core.errors import SojournError, Unauthenticated
from tests.acceptance.login import lets_in
from tests.rig.certificates import Pair, make
from tests.rig.postgres import PostgresServer
from tests.rig.system import DATABASE_GRANT, OWNER, Plan, System, running


class Forwarded(Transport):
    """What a proxy that ends TLS adds: the certificate that its client showed (RFC 9440)."""

    def __init__(self, issuer: str, shown: Pair) -> None:
        super().__init__(issuer)
        self.shown = shown

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        wait_s: float = 0.0,
    ) -> Answer:
        told = {**headers, "Client-Cert": f":{self.shown.b64}:"}
        return super().send(method, path, told, body=body, wait_s=wait_s)


class ByCertificate:
    """Says its name; the connection shows the rest."""

    def gather(self) -> Mapping[str, str]:
        return {"type": "mtls", "client": "certified"}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("own"), "certified")


@pytest.fixture(scope="module")
def system(postgres: PostgresServer, own: Pair) -> Iterator[System]:
    """A system that believes a proxy on this machine."""
    with running(postgres, Plan(tables='client_cert_proxies = ["127.0.0.1"]\n')) as made:
        body = {
            "name": "certified",
            "role": "workload",
            "owner": OWNER,
            "certificate": {"self_signed": own.b64},
        }
        made.operator.ask("POST", "/v1/clients", body)
        beat = {"every": "1s", "missed_after": "30s", "evidence": "fresh"}
        made.apply_charter(name="certified", clients=["certified"], beat=beat)
        yield made


def test_a_certificate_opens_beats_and_is_told_in_the_context(system: System, own: Pair) -> None:
    wish, wire = Wish("certified", "1", [DATABASE_GRANT]), Forwarded(system.issuer, own)

    live = open_session(Workload(system.issuer, ByCertificate()), wish, transport=wire)

    assert live.beat().state == "active" and lets_in(live.credentials[0])
    assert text(member(live.view.raw, "context"), "mtls.client") == "certified"
    live.complete()
    assert system.look(live.id, until_ended_s=20).reason == "completed"


def test_another_certificate_or_none_opens_nothing(system: System, tmp_path: Path) -> None:
    wish, workload = Wish("certified", "1", [DATABASE_GRANT]), Workload(system.issuer, ByCertificate())
    for wire in (Forwarded(system.issuer, make(tmp_path, "thief")), Transport(system.issuer)):
        with pytest.raises(Unauthenticated):
            open_session(workload, wish, transport=wire)


def test_another_certificate_is_no_beat(system: System, own: Pair, tmp_path: Path) -> None:
    wish, wire = Wish("certified", "1", [DATABASE_GRANT]), Forwarded(system.issuer, own)
    live = open_session(Workload(system.issuer, ByCertificate()), wish, transport=wire)
    wire.shown = make(tmp_path, "thief")

    with pytest.raises(SojournError) as refusal:
        live.beat()

    assert refusal.value.code == "bad_evidence"
    assert system.look(live.id).state == "active"
    wire.shown = own
    live.complete()
