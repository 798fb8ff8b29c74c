"""A server whose signing keys are in another process: it works, it fails closed, and its ends do not wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from sojourn.adapters.file_keys import SIGNING_KEY, FileKeys
from sojourn.adapters.socket_vault import SocketVault
from sojourn.core.client import Role
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Unavailable
from sojourn.core.ids import SessionId
from sojourn.core.session import LEAVING
from sojourn.core.signing_key import Purpose
from tests.acceptance.test_thief import Sent, Town
from tests.adapters.test_vaults import SignerProcess
from tests.rig.store import Place

pytestmark = pytest.mark.anyio


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    made = SignerProcess(tmp_path)
    made.start()
    yield made
    made.end()


async def test_a_server_without_its_signer_grants_nothing_and_ends_everything(
    signer: SignerProcess, tmp_path: Path
) -> None:
    keys = FileKeys(tmp_path / "keys", SocketVault(signer.path, time.monotonic, within_s=10.0))
    town = Town(Place("sqlite", path=tmp_path / "sojourn.db"), tmp_path, keys=keys)
    node = await town.open()
    deployment = node.deployment
    await town.live()
    session = SessionId(next(s.path for s in town.seen if s.path.endswith("/suspend")).split("/")[3])
    assert not (tmp_path / "keys" / SIGNING_KEY).exists()

    signer.end()
    refused = await _ask_token(town)
    ended = await deployment.verbs.end(session, Cause(Reason.KILLED, "test", ""))
    kid = deployment.ring.signer(Purpose.TOKENS).kid
    await deployment.verbs.revoke_key(kid, by="test")

    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert ended.state in LEAVING
    assert kid not in {key["kid"] for key in deployment.ring.published()}
    with pytest.raises(Unavailable):
        deployment.ring.signer(Purpose.TOKENS).sign({}, {})

    signer.start()
    until = time.monotonic() + 5
    while (answer := await _ask_token(town)).status_code == 503:
        assert time.monotonic() < until
    assert answer.status_code == 200
    await deployment.stop()


async def _ask_token(town: Town) -> httpx2.Response:
    """A token for a client that is new each time."""
    client, key = await town.enrol(f"c{town.number}", Role.OPERATOR)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": town.assertion(client, key),
    }
    headers = {
        "DPoP": town.proof(key, "POST", "/oauth2/token"),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return await town.nodes[0].send(Sent("POST", "/oauth2/token", headers, urlencode(form).encode()))
