"""Verifiers worked out here are those that the published algorithms give."""

from __future__ import annotations

import pytest

from sojourn.core.secret import Secret
from sojourn.providers.mysql.verifier import caching_sha2, native, sha_crypt


# Of glibc's crypt(3), `$5$` without rounds, which are 5000.
@pytest.mark.parametrize(
    ("word", "salt", "digest"),
    [
        ("Hello world!", "saltstring", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("q", "abcdefghijklmnop", "qTVGdCQoUhYMYcfa4XDdO0.ol9DkVAajVehgmQHaKb2"),
        ("x" * 31, "./", "tbX24OCYaGK36dV7kEWlrT7OYVRcr8shpChU9Suhhw7"),
        ("x" * 32, "0123456789abcdef", "nOss6/ez19SVF.FxVMrzW3vFSEVZaGSwPcqmv7kW9u4"),
        ("x" * 43, "ABCDEFGHIJKLMNOP", "2eS2/3zlrT1A7YNLBOWJpJMjSAoi2X0mMM04N7ky382"),
        ("x" * 97, "zzz", "bfDOuzp1TLi8uU424UYvfAXs7CEfqJAiKR/mkU3/j88"),
    ],
)  # fmt: skip
def test_sha_crypt_is_that_of_the_c_library(word: str, salt: str, digest: str) -> None:
    assert sha_crypt(word.encode(), salt.encode()) == digest


def test_a_verifier_tells_nothing_twice() -> None:
    first, second = (caching_sha2(Secret("the same")) for _ in range(2))

    assert first != second
    assert first.startswith("$A$005$")
    assert len(first) == len(second) == len("$A$005$") + 20 + 43


def test_the_native_verifier_is_two_rounds_of_sha_1() -> None:
    assert native(Secret("password")) == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
