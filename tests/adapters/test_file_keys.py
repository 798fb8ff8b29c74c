"""Keys in files: made once, refused when others could read or replace them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sojourn.adapters.file_keys import SEALING_KEY, SIGNING_KEY, FileKeys
from sojourn.core.errors import Invalid
from sojourn.ports.keys import Sealer


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = FileKeys(tmp_path / "keys")
    second = FileKeys(tmp_path / "keys")

    assert second.sealer.unseal("a", first.sealer.seal("a", b"secret")) == b"secret"
    made = first.vault.make("ES256")
    assert second.vault.sign(made, "ES256", b"message")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(tmp_path / "keys")) == [SEALING_KEY, SIGNING_KEY]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "keys").iterdir())


@pytest.mark.parametrize("name", [SEALING_KEY, SIGNING_KEY])
def test_a_key_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    FileKeys(tmp_path / "keys")
    (tmp_path / "keys" / name).chmod(0o640)

    with pytest.raises(Invalid) as refusal:
        FileKeys(tmp_path / "keys")

    assert refusal.value.code == "unsafe_file"


def test_a_link_in_place_of_a_key_or_folder_is_refused(tmp_path: Path) -> None:
    FileKeys(tmp_path / "keys")
    (tmp_path / "keys" / SIGNING_KEY).rename(tmp_path / "elsewhere")
    (tmp_path / "keys" / SIGNING_KEY).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "keys")

    for folder in ("keys", "link"):
        with pytest.raises(Invalid) as refusal:
            FileKeys(tmp_path / folder)
        assert refusal.value.code == "unsafe_file"


def test_a_folder_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)

    with pytest.raises(Invalid) as refusal:
        FileKeys(tmp_path / "keys")

    assert refusal.value.code == "unsafe_file"


def test_what_is_sealed_opens_under_its_name_only(tmp_path: Path) -> None:
    sealer: Sealer = FileKeys(tmp_path / "keys").sealer
    sealed = sealer.seal("target/a", b"password")

    assert sealer.unseal("target/a", sealed) == b"password"
    for name, octets in (("target/b", sealed), ("target/a", sealed[:-1]), ("target/a", b"")):
        with pytest.raises(Invalid) as refusal:
            sealer.unseal(name, octets)
        assert refusal.value.code == "unsealable"
