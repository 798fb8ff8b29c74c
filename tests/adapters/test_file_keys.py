"""Keys in files: made once, refused when others could read or replace them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sojourn.adapters.file_keys import CHECKPOINT_KEY, SEALING_KEY, TOKEN_KEY, FileKeys
from sojourn.core.errors import Invalid
from sojourn.jose import read_key_set
from sojourn.ports.keys import NoteSigner, Sealer, TokenSigner


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = FileKeys(tmp_path / "keys", "log.example")
    second = FileKeys(tmp_path / "keys", "log.example")

    assert (first.tokens.kid, first.notes.vkey) == (second.tokens.kid, second.notes.vkey)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "keys")) == [CHECKPOINT_KEY, SEALING_KEY, TOKEN_KEY]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "keys").iterdir())


@pytest.mark.parametrize("name", [CHECKPOINT_KEY, SEALING_KEY, TOKEN_KEY])
def test_a_key_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    FileKeys(tmp_path / "keys", "log.example")
    (tmp_path / "keys" / name).chmod(0o640)

    with pytest.raises(Invalid) as refusal:
        FileKeys(tmp_path / "keys", "log.example")

    assert refusal.value.code == "unsafe_file"


def test_a_link_in_place_of_a_key_or_folder_is_refused(tmp_path: Path) -> None:
    FileKeys(tmp_path / "keys", "log.example")
    (tmp_path / "keys" / TOKEN_KEY).rename(tmp_path / "elsewhere")
    (tmp_path / "keys" / TOKEN_KEY).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "keys")

    for folder in ("keys", "link"):
        with pytest.raises(Invalid) as refusal:
            FileKeys(tmp_path / folder, "log.example")
        assert refusal.value.code == "unsafe_file"


def test_a_folder_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)

    with pytest.raises(Invalid) as refusal:
        FileKeys(tmp_path / "keys", "log.example")

    assert refusal.value.code == "unsafe_file"


def test_a_note_verifies_by_its_public_key(tmp_path: Path) -> None:
    signer: NoteSigner = FileKeys(tmp_path / "keys", "log.example").notes

    note = signer.sign_note("log.example\n1\nroot\n")

    name, key_id, encoded = signer.vkey.split("+", 2)
    text, _, line = note.partition("\n\n")
    signed = base64.b64decode(line.removeprefix(f"\u2014 {name} "))
    assert signed[:4].hex() == key_id
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    key.verify(signed[4:], (text + "\n").encode())


def test_what_is_sealed_opens_under_its_name_only(tmp_path: Path) -> None:
    sealer: Sealer = FileKeys(tmp_path / "keys", "log.example").sealer
    sealed = sealer.seal("target/a", b"password")

    assert sealer.unseal("target/a", sealed) == b"password"
    for name, octets in (("target/b", sealed), ("target/a", sealed[:-1]), ("target/a", b"")):
        with pytest.raises(Invalid) as refusal:
            sealer.unseal(name, octets)
        assert refusal.value.code == "unsealable"


def test_the_token_signer_publishes_the_key_it_signs_with(tmp_path: Path) -> None:
    signer: TokenSigner = FileKeys(tmp_path / "keys", "log.example").tokens

    assert list(read_key_set({"keys": list(signer.public_keys())})) == [signer.kid]
