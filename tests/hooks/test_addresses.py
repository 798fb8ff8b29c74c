"""Which addresses hooks may have; where they lead is judged when they are asked."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Invalid
from sojourn.services._hooks import require_url


def test_a_plain_https_address_will_do() -> None:
    require_url("https://chat.example:8443/in?room=7")


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example/in",
        "https://user:word@chat.example/in",
        "https://chat.example/in#part",
        "https://chat.example:port/in",
        "https:///in",
        "https://chat.example/a b",
        "https://chät.example/in",
        "file:///etc/passwd",
        f"https://chat.example/{'a' * 2048}",
    ],
)
def test_an_address_that_is_not_plain_https_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="bad_url"):
        require_url(url)
