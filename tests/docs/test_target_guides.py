"""What the guides to the server targets show is enough for a preflight against the real server."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import yaml
from tests.architecture.tree import ROOT
from tests.providers.kits.kit import SystemNow
from tests.providers.kits.rabbitmq import SETTINGS
from tests.rig.mariadb import MariaServer
from tests.rig.mysql_server import MySQLServer
from tests.rig.nats_server import NatsServer
from tests.rig.redis_server import RedisServer

from sojourn.adapters.catalog_providers import provider_class
from sojourn.core.secret import Secret
from sojourn.ports.provider import Provider

pytestmark = pytest.mark.anyio


def shown(page: str, label: str) -> str:
    """The one block of a guide that is fenced with `label`."""
    text = (ROOT / "docs/guides" / page).read_text("utf-8")
    (block,) = re.findall(rf"^```{label}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(block)


def made(name: str, address: str, page: str) -> Provider:
    """The provider that the guide's templates would be added with."""
    templates: Mapping[str, Mapping[str, object]] = yaml.safe_load(shown(page, "yaml templates"))
    provider = provider_class(name).configured({}, templates, Secret(address), SystemNow())
    for template in templates.values():
        provider.check_template(template)
    return provider


async def failed(provider: Provider) -> list[object]:
    """The checks that did not hold."""
    try:
        return [one for one in await provider.preflight("sj_doc_") if not one.ok]
    finally:
        await provider.close()


@pytest.mark.parametrize(("kind", "label"), [(MariaServer, "sql mariadb"), (MySQLServer, "sql mysql")])
async def test_the_guide_to_mariadb_and_mysql_is_enough(kind: type[MariaServer], label: str) -> None:
    server = kind()
    try:
        server.start()
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT)")
        server.sql(shown("add-a-mysql-target.md", label))
        address = f"mysql://governor:change-me@127.0.0.1:{server.port}/"

        assert await failed(made("mysql", address, "add-a-mysql-target.md")) == []
    finally:
        server.remove()


async def test_the_guide_to_redis_is_enough() -> None:
    lines = shown("add-a-redis-target.md", "redis admin").replace("ACL SETUSER", "user").splitlines()
    server = RedisServer(*(line if " on " in line else line + " on ~* &* +@all" for line in lines))
    try:
        server.start()
        address = f"redis://governor:change-me@127.0.0.1:{server.port}"

        assert await failed(made("redis", address, "add-a-redis-target.md")) == []
    finally:
        server.remove()


async def test_the_guide_to_nats_is_enough() -> None:
    server = NatsServer()
    try:
        server.start()

        assert await failed(made("nats", server.secret().reveal(), "add-a-nats-target.md")) == []
    finally:
        server.remove()


def test_the_broker_of_the_tests_is_set_up_as_its_guide_says() -> None:
    """`tests/providers/test_conformance.py` runs its preflight."""
    made("rabbitmq", "http://governor:x@127.0.0.1:15672", "add-a-rabbitmq-target.md")

    assert shown("add-a-rabbitmq-target.md", "ini settings").splitlines() == list(SETTINGS)
