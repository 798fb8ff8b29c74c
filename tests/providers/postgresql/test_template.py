"""Templates and DSNs are read strictly; nothing that outgrows a session has a word."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers.postgresql import Config, from_dsn
from sojourn.providers.postgresql.scram import verifier
from sojourn.providers.postgresql.template import grants, parse

DATABASES = ("shop",)


def test_a_plain_template_is_read() -> None:
    template = parse(
        {
            "database": "shop",
            "schemas": {"shop": {"privileges": ["USAGE"]}},
            "tables": [{"schema": "shop", "name": "*", "privileges": ["SELECT"]}],
            "roles": ["team"],
            "connection_limit": 2,
        },
        DATABASES,
    )

    assert template.connection_limit == 2
    assert [entry["privilege"] for entry in grants(template)] == ["USAGE", "SELECT"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"database": "other"}, "`database`"),
        ({"databse": "shop"}, "databse"),
        ({"schemas": {"shop": {"privileges": ["CREATE"]}}}, "schemas.shop.privileges"),
        ({"schemas": {"shop": {"privileges": ["ALL"]}}}, "$.schemas"),
        ({"schemas": {"shop": {"privileges": ["USAGE"], "grant_option": True}}}, "grant_option"),
        ({"schemas": {"pg_catalog": {"privileges": ["USAGE"]}}}, "pg_catalog"),
        (
            {"tables": [{"schema": "information_schema", "name": "*", "privileges": ["SELECT"]}]},
            "tables[0].schema",
        ),
        (
            {"tables": [{"schema": "shop", "name": "t", "privileges": ["TRIGGER"]}]},
            "$.tables[0].privileges[0]",
        ),
        (
            {"tables": [{"schema": "shop", "name": "t", "privileges": ["SELECT WITH GRANT OPTION"]}]},
            "$.tables",
        ),
        ({"tables": [{"schema": "shop", "name": "t", "privileges": []}]}, "$.tables[0].privileges"),
        ({"tables": [{"schema": "shop", "name": "n" * 64, "privileges": ["SELECT"]}]}, "tables[0].name"),
        ({"functions": [{"schema": "shop", "name": "f"}]}, "functions"),
        ({"roles": ["pg_read_server_files"]}, "roles[0]"),
        ({"roles": ["team", "pg_execute_server_program"]}, "roles[1]"),
        ({"roles": "team"}, "$.roles"),
        ({"connection_limit": -1}, "$.connection_limit"),
        ({"connection_limit": "3"}, "$.connection_limit"),
        ({"may_own_objects": 1}, "$.may_own_objects"),
        ({"superuser": True}, "superuser"),
    ],
)
def test_a_template_that_asks_for_more_is_refused_by_member(change: dict[str, object], named: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse({"database": "shop", **change}, DATABASES)

    assert refused.value.code == "bad_template"
    assert named in refused.value.message


def test_a_dsn_is_read_member_by_member() -> None:
    config = from_dsn(Secret("postgresql://a%40b:p%2Fw@db.example:6432/my%20db?sslmode=verify-ca"))

    assert (config.host, config.port, config.user, config.database) == ("db.example", 6432, "a@b", "my db")
    assert config.password is not None and config.password.reveal() == "p/w"
    assert config.sslmode == "verify-ca"


@pytest.mark.parametrize(("host", "mode"), [("127.0.0.1", "disable"), ("db.example", "verify-full")])
def test_a_dsn_without_sslmode_is_verified_beyond_loopback(host: str, mode: str) -> None:
    assert from_dsn(Secret(f"postgresql://u:p@{host}/d")).sslmode == mode


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h:99999/d",
        "postgresql://u:hunter2@h",
        "postgresql://:hunter2@h/d",
        "postgresql:///d?password=hunter2",
        "postgresql://u:hunter2@h/d?options=hunter2",
        "postgresql://u:hunter2@h/d?sslmode=maybe",
        "postgresql://u:hunter2@[h/d",
    ],
)
def test_a_bad_dsn_is_refused_without_being_repeated(dsn: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_dsn(Secret(dsn))

    assert refused.value.code == "bad_target"
    assert "hunter2" not in refused.value.message


def test_a_config_shows_no_password() -> None:
    config = Config("h", "d", "u", Secret("hunter2"))

    assert "hunter2" not in repr(config)


def test_the_verifier_is_the_one_of_rfc_7677() -> None:
    """Salt, count and password are the example of RFC 7677, section 3."""
    salt = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")

    made = verifier(Secret("pencil"), iterations=4096, salt=salt)

    assert made == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
