"""What the guides show as YAML and SQL is accepted by the code and does what the page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from tests.architecture.tree import ROOT
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer, psql_path

from sojourn.core.ids import CharterId
from sojourn.providers.postgresql.template import parse
from sojourn.services._charter_document import read_charter

GUIDES = ROOT / "docs" / "guides"


def shown(page: str, label: str) -> list[str]:
    """The blocks of a guide that are fenced with `label`."""
    text = (GUIDES / page).read_text("utf-8")
    return re.findall(rf"^```{label}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_shown_charter_is_read() -> None:
    (charter,) = shown("write-a-charter.md", "yaml charter")

    read = read_charter(
        yaml.safe_load(charter), CharterId("cha_x"), number=1, by="ada", now=datetime.now(UTC)
    )

    assert read.name == "nightly-export"


def test_the_shown_templates_are_read() -> None:
    (templates,) = shown("add-a-postgresql-target.md", "yaml templates")

    for template in yaml.safe_load(templates).values():
        assert parse(template, ("shop",)).database == "shop"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    made = PostgresServer()
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_the_emergency_statements_shut_logins_and_cut_connections(
    server: PostgresServer,
) -> None:
    stop, count = shown("stop-everything-when-the-server-is-down.md", "sql emergency")
    server.sql("CREATE ROLE governor CREATEROLE; GRANT pg_signal_backend TO governor")
    as_admin = "SET SESSION AUTHORIZATION governor;\n"
    server.sql(as_admin + "CREATE ROLE sj_dev0_one LOGIN PASSWORD 'word'")
    dsn = server.dsn(user="sj_dev0_one", password="word")
    working = subprocess.Popen(
        [str(psql_path()), "-X", "-c", "select pg_sleep(60)", dsn],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: server.sql(count) == "1", within_s=10)

        server.sql(as_admin + stop)

        until(lambda: server.sql(count) == "0", within_s=10)
        assert working.wait(10) != 0
        assert server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'sj_dev0_one'") == "f"
    finally:
        working.kill()
