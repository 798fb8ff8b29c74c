"""What a server keeps instead of a password, worked out here: so no server is ever sent one of ours.

MySQL would write neither into its logs, but shows the text of a packet in its performance
schema, passwords and all (measured at 8.0.15).
"""

from __future__ import annotations

import hashlib
import secrets
import string
from itertools import cycle, islice
from typing import Final

from sojourn.core.secret import Secret

_ALPHABET: Final = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase
_SALT_CHARACTERS: Final = 20
_ROUNDS: Final = 5000  # the fewest that MySQL takes; it writes them in thousands
# Which bytes of the digest go into each group of characters (SHA-crypt, step 22 e).
_GROUPS: Final = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip


def native(password: Secret) -> str:
    """For `mysql_native_password`, as `IDENTIFIED BY PASSWORD` takes it.

    Twice SHA-1 is weak for words people choose; of 256 random bits it tells nothing.
    """
    once = hashlib.sha1(password.reveal().encode("ascii"), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def caching_sha2(password: Secret) -> str:
    """For `caching_sha2_password`, as `IDENTIFIED WITH … AS` takes it."""
    salt = "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_CHARACTERS))
    return f"$A${_ROUNDS // 1000:03}${salt}{sha_crypt(password.reveal().encode('ascii'), salt.encode())}"


def sha_crypt(word: bytes, salt: bytes) -> str:
    """The digest of "Unix crypt using SHA-256" (U. Drepper, 2008), of 5000 rounds; steps by its numbers."""
    second = _sha256(word + salt + word)  # 4 to 8
    bits = (second if len(word) >> bit & 1 else word for bit in range(len(word).bit_length()))
    digest = _sha256(word + salt + _stretched(second, len(word)) + b"".join(bits))  # 1 to 12
    words = _stretched(_sha256(word * len(word)), len(word))  # 13 to 16
    salts = _stretched(_sha256(salt * (16 + digest[0])), len(salt))  # 17 to 20
    for number in range(_ROUNDS):  # 21
        middle = (salts if number % 3 else b"") + (words if number % 7 else b"")
        digest = _sha256(words + middle + digest if number & 1 else digest + middle + words)
    last = _characters(digest[31] << 8 | digest[30], 3)
    return "".join(_characters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _GROUPS) + last


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _stretched(digest: bytes, length: int) -> bytes:
    return bytes(islice(cycle(digest), length))


def _characters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 6 * place & 63] for place in range(count))
