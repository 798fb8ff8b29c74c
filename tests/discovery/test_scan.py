"""Credentials are found where they stand, named without being shown, and nothing else is called one."""

from __future__ import annotations

import json
import os
import string
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sojourn.core.standing import Standing
from sojourn.discovery import Scan
from sojourn.discovery.walk import DEEPEST, LARGEST

LONG = (string.ascii_letters + string.digits)[:40]  # looks random, opens nothing
SECRETS = {
    "aws_access_key": "AKIA" + "ABCDEFGHIJ234567",
    "github_token": "ghp_" + LONG[:36],
    "gitlab_token": "glpat-" + LONG[:20],
    "openbao_token": "hvs." + LONG,
    "slack_token": "xoxb-" + LONG[:24],
    "npm_token": "npm_" + LONG[:36],
    "google_api_key": "AIza" + LONG[:35],
}


def found_in(folder: Path) -> list[Standing]:
    return list(Scan((folder,)).run())


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("line", ["token: {}", "export A={}", 'call("{}")', "{}"])
def test_a_token_is_told_by_its_look_wherever_it_stands(tmp_path: Path, kind: str, line: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing\n" + line.format(SECRETS[kind]) + "\n")

    (found,) = found_in(tmp_path)

    assert (found.kind, found.place, found.exposed) == (kind, f"{tmp_path}/notes.txt:2", True)


@pytest.mark.parametrize("kind", sorted(set(SECRETS) - {"aws_access_key"}))
def test_no_finding_shows_the_secret(tmp_path: Path, kind: str) -> None:
    secret = SECRETS[kind]
    (tmp_path / ".env").write_text(f"A={secret}\nB_PASSWORD={LONG}\nC=postgresql://ada:{LONG}@db/shop\n")

    found = found_in(tmp_path)

    assert len(found) == 3
    assert not any(secret[5:] in repr(one) or LONG in repr(one) for one in found)


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        (f"DB_PASSWORD={LONG}", "named_secret", "DB_PASSWORD"),
        (f'  api_key: "{LONG}"', "named_secret", "api_key"),
        (f"export CLIENT_SECRET='{LONG}'", "named_secret", "CLIENT_SECRET"),
        (f"url = postgres://ada:{LONG}@db.example:5432/shop", "postgresql_password", "ada@db.example:5432"),
        (f"REDIS=redis://app:{LONG}@cache", "redis_password", "app@cache"),
        (f"dsn: mysql+aiomysql://ada:{LONG}@db/shop", "mysql_password", "ada@db"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private_key", "private key"),
        ("-----BEGIN PRIVATE KEY-----", "private_key", "private key"),
    ],
)
def test_a_secret_is_told_by_its_name_or_place_in_a_line(
    tmp_path: Path, line: str, kind: str, name: str
) -> None:
    (tmp_path / "settings.conf").write_text(line)

    assert [(one.kind, one.name) for one in found_in(tmp_path)] == [(kind, name)]


@pytest.mark.parametrize(
    "line",
    [
        "PASSWORD=${VAULT_PASSWORD}",
        "password: $(read-it)",
        "PASSWORD=changeme-please-1A",
        "token: <your token here>",
        "SECRET=xxxxxxxxxxxxxxxx",
        "password = 'aaaaaaaaaaaa'",
        "token_lifetime_seconds = 300",
        "secret_name: orders-database",
        "postgres://ada:${PASSWORD}@db/shop",
        "https://example.org/a:b@c",
        "AKIA is how such a key begins",
        "the BEGIN PRIVATE KEY line",
    ],
)
def test_what_is_no_secret_is_not_called_one(tmp_path: Path, line: str) -> None:
    (tmp_path / "settings.conf").write_text(line)

    assert found_in(tmp_path) == []


def test_authorized_keys_say_who_and_until_when(tmp_path: Path) -> None:
    blob = b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(32)).decode()
    lines = [
        "# a remark",
        f"ssh-ed25519 {blob} deploy@runner",
        f'expiry-time="20300101120000Z",no-pty ssh-ed25519 {blob}',
        f'expiry-time="20301399",restrict ecdsa-sha2-nistp256 {blob} odd',
    ]
    (tmp_path / "authorized_keys").write_text("\n".join(lines))

    found = found_in(tmp_path)

    assert [one.kind for one in found] == ["ssh_authorized_key"] * 3
    assert found[0].owner_guess == "deploy@runner" and found[0].name.startswith("SHA256:")
    assert found[1].expires_at == datetime(2030, 1, 1, 12, tzinfo=UTC) and found[2].expires_at is None
    assert not found[0].exposed


def test_password_files_are_read_by_their_form(tmp_path: Path) -> None:
    (tmp_path / ".pgpass").write_text(f"db:5432:shop:ada:{LONG}\n# db:1:2:3:4\n")
    (tmp_path / ".netrc").write_text(f"machine git.example login ada password {LONG}\n")
    (tmp_path / ".npmrc").write_text(f"//registry.example/:_authToken={LONG}\n//other/:_authToken=${{T}}\n")
    (tmp_path / ".docker").mkdir()
    auths = {"hub.example": {"auth": LONG}, "kept.example": {}}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": auths}, indent=1))

    found = {(one.kind, one.name) for one in found_in(tmp_path)}

    assert found == {
        ("postgresql_password", "ada@db"),
        ("http_password", "ada@git.example"),
        ("npm_token", "registry.example"),
        ("registry_password", "hub.example"),
    }


def test_a_kubeconfig_says_what_it_is(tmp_path: Path) -> None:
    text = f"kind: Config\nclusters: []\nusers:\n- user:\n    token: {LONG}\n"
    (tmp_path / "config").write_text(text)

    assert [(one.kind, one.name) for one in found_in(tmp_path)] == [("kubeconfig_credential", "token")]


@pytest.mark.parametrize(
    "content", ["{", "[1]", '{"auths": []}', "[" * 100_000], ids=["cut", "list", "odd", "deep"]
)
def test_a_malformed_file_is_no_finding_and_no_error(tmp_path: Path, content: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(content)

    assert found_in(tmp_path) == []


def test_what_cannot_hold_configuration_is_passed_over(tmp_path: Path) -> None:
    line = f"PASSWORD={LONG}\n"
    (tmp_path / "large.env").write_text(line * (LARGEST // len(line) + 1))
    (tmp_path / "binary").write_bytes(b"\0" + line.encode())
    (tmp_path / "link.env").symlink_to(tmp_path / "large.env")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / ".env").write_text(line)
    deep = tmp_path.joinpath(*["d"] * (DEEPEST + 1))
    deep.mkdir(parents=True)
    (deep / ".env").write_text(line)

    assert found_in(tmp_path) == []


def test_a_file_with_many_secrets_does_not_drown_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text(f"A_TOKEN={LONG}\n" * 1000)
    (tmp_path / "b.env").write_text(f"B_TOKEN={LONG}\n")

    found = found_in(tmp_path)

    assert len(found) == 51 and found[-1].name == "B_TOKEN"
