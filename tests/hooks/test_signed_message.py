"""Standard Webhooks, both ways: the published vector, and what is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Unauthenticated
from sojourn.core.secret import Secret
from sojourn.core.signed_message import TOLERANCE, headers_of, require_signed

# The example of the specification's reference libraries.
SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
NAME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
AT = datetime.fromtimestamp(1614265330, UTC)
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_message_is_signed_and_verified_as_published() -> None:
    made = headers_of(NAME, BODY, SECRET, AT)

    assert made["webhook-signature"] == SIGNATURE
    assert require_signed(made, BODY, SECRET, AT) == NAME


def test_a_text_that_is_no_encoded_secret_is_the_key_itself() -> None:
    for text in ("a secret of ours", "whsec_!"):
        made = headers_of(NAME, BODY, Secret(text), AT)
        assert require_signed(made, BODY, Secret(text), AT) == NAME


@pytest.mark.parametrize("off", [TOLERANCE, -TOLERANCE])
def test_a_message_counts_within_five_minutes_and_not_a_second_longer(off: timedelta) -> None:
    made = headers_of(NAME, BODY, SECRET, AT)
    further = timedelta(seconds=1) if off > timedelta(0) else timedelta(seconds=-1)

    assert require_signed(made, BODY, SECRET, AT + off) == NAME
    with pytest.raises(Unauthenticated, match="bad_signature"):
        require_signed(made, BODY, SECRET, AT + off + further)


ALTERED = {
    "another id": {"webhook-id": "msg_2"},
    "no id": {"webhook-id": ""},
    "an endless id": {"webhook-id": "m" * 257},
    "another second": {"webhook-timestamp": "1614265331"},
    "a second in other digits": {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
    "no second": {"webhook-timestamp": "now"},
    "another version": {"webhook-signature": SIGNATURE.replace("v1,", "v1a,")},
    "no base64": {"webhook-signature": "v1,%%%"},
    "none": {"webhook-signature": ""},
    "a cut signature": {"webhook-signature": f"v1,{base64.b64encode(b'x' * 31).decode()}"},
    "too many signatures": {"webhook-signature": " ".join(["v1,AAAA"] * 8 + [SIGNATURE])},
}


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
def test_an_altered_head_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="bad_signature"):
        require_signed({**headers_of(NAME, BODY, SECRET, AT), **change}, BODY, SECRET, AT)


def test_an_altered_body_or_another_secret_is_refused() -> None:
    made = headers_of(NAME, BODY, SECRET, AT)

    for body, secret in ((BODY + b" ", SECRET), (BODY, Secret("whsec_AAAA")), (BODY, Secret(""))):
        with pytest.raises(Unauthenticated, match="bad_signature"):
            require_signed(made, body, secret, AT)
