"""What a DPoP proof must say, by the vectors and the list of refusals of RFC 9449."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Unauthenticated
from sojourn.core.proof import Demand, ath_of, judge, place, read, thumbprint_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
URL = "https://api.example/items"
DEMAND = Demand("GET", URL, "jkt", "hash")
CLAIMS = {"jti": "1", "htm": "GET", "htu": URL, "iat": int(NOW.timestamp()), "ath": "hash"}


def test_the_thumbprint_is_that_of_rfc_9449() -> None:
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    }

    assert thumbprint_of(jwk) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_the_token_hash_is_that_of_rfc_9449() -> None:
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

    assert ath_of(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"htu": URL + "?a=1"},
        {"htu": URL + "#part"},
        {"htu": "https://API.EXAMPLE/items"},
        {"htu": "HTTPS://api.example:443/items"},
        {"htu": "wss://api.example/items"},
        {"iat": int(NOW.timestamp()) - 10},
        {"iat": int(NOW.timestamp()) + 10},
        {"iat": NOW.timestamp() - 0.5},
        {"nbf": 1, "exp": 2, "unknown": {"a": []}},
    ],
    ids=str,
)
def test_a_proof_that_must_be_accepted_is_accepted(changes: dict[str, object]) -> None:
    judge(read("jkt", {**CLAIMS, **changes}), DEMAND, NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *(({name: None}, "bad_proof") for name in CLAIMS),
        ({"jti": ""}, "bad_proof"),
        ({"jti": "x" * 257}, "bad_proof"),
        ({"jti": 5}, "bad_proof"),
        ({"htm": "POST"}, "bad_proof"),
        ({"htm": "get"}, "bad_proof"),
        ({"htu": "https://other.example/items"}, "bad_proof"),
        ({"htu": "https://api.example/items/"}, "bad_proof"),
        ({"htu": "https://api.example/Items"}, "bad_proof"),
        ({"htu": "https://api.example/%69tems"}, "bad_proof"),
        ({"htu": "http://api.example/items"}, "bad_proof"),
        ({"htu": "https://api.example:8443/items"}, "bad_proof"),
        ({"htu": "https://api.example@evil.example/items"}, "bad_proof"),
        ({"htu": "https://[::1/items"}, "bad_proof"),
        ({"htu": "/items"}, "bad_proof"),
        ({"htu": "https://api.example/items\n"}, "bad_proof"),
        ({"iat": int(NOW.timestamp()) - 3600}, "bad_proof"),
        ({"iat": int(NOW.timestamp()) + 3600}, "bad_proof"),
        ({"iat": int(NOW.timestamp()) - 61}, "bad_proof"),
        ({"iat": int(NOW.timestamp()) + 11}, "bad_proof"),
        ({"iat": True}, "bad_proof"),
        ({"iat": "now"}, "bad_proof"),
        ({"iat": float("nan")}, "bad_proof"),
        ({"iat": 10**30}, "bad_proof"),
        ({"ath": "other"}, "bad_proof"),
        ({"ath": 1}, "bad_proof"),
    ],
    ids=str,
)
def test_a_proof_that_must_be_refused_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        judge(read("jkt", {**CLAIMS, **changes}), DEMAND, NOW)

    assert refusal.value.code == code


def test_a_proof_by_another_key_is_refused() -> None:
    with pytest.raises(Unauthenticated) as refusal:
        judge(read("other", CLAIMS), DEMAND, NOW)

    assert refusal.value.code == "wrong_key"


def test_the_window_of_a_proof_is_exact_to_the_second() -> None:
    shown = read("jkt", CLAIMS)

    judge(shown, DEMAND, NOW + timedelta(seconds=60))
    judge(shown, DEMAND, NOW - timedelta(seconds=10))
    for off in (timedelta(seconds=60, microseconds=1), timedelta(seconds=-10, microseconds=-1)):
        with pytest.raises(Unauthenticated):
            judge(shown, DEMAND, NOW + off)


def test_an_empty_path_is_the_root() -> None:
    assert place("https://api.example") == place("https://api.example:443/?q")
