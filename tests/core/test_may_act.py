"""The claim `may_act`: read strictly, since what is not understood must permit nobody (RFC 8693, 4.4)."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Refused
from sojourn.core.token import from_json, to_json
from tests.guard.world import Workload, claims_for

CLAIMS = claims_for(Workload(), "https://sojourn.example")


def test_it_is_written_and_read_back() -> None:
    named = claims_for(Workload(), CLAIMS.issuer, may_act="a" * 43)

    assert to_json(named)["may_act"] == {"sub": "a" * 43}
    assert from_json(to_json(named)).may_act == "a" * 43
    assert "may_act" not in to_json(CLAIMS) and from_json(to_json(CLAIMS)).may_act is None


@pytest.mark.parametrize("value", [None, "x", [], {}, {"sub": 7}, {"iss": "x"}, {"sub": "x", "iss": "y"}])
def test_what_is_not_understood_makes_no_token(value: object) -> None:
    with pytest.raises(Refused) as refused:
        from_json({**to_json(CLAIMS), "may_act": value})

    assert refused.value.code == "bad_token"
