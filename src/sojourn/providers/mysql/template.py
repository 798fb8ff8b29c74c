"""Grant templates: which privileges an account may be born with; a closed vocabulary.

What would let a credential outlive or outgrow its session has no word here: no global
privilege, no grant option, no role, nothing that runs with its definer's rights (views,
routines, triggers, events), no system schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from sojourn.core.errors import Invalid
from sojourn.providers._common.reading import read_template

NAME_CHARACTERS: Final = 64
_SYSTEM: Final = frozenset({"mysql", "information_schema", "performance_schema", "sys"})

TablePrivilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
SchemaPrivilege = Literal[
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES",
    "LOCK TABLES", "CREATE TEMPORARY TABLES",
]  # fmt: skip


class SchemaGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privileges on everything in one schema, now and later."""

    privileges: Annotated[tuple[SchemaPrivilege, ...], msgspec.Meta(min_length=1)]


class TableGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privileges on one table."""

    schema: str
    name: str
    privileges: Annotated[tuple[TablePrivilege, ...], msgspec.Meta(min_length=1)]


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one account gets."""

    database: str | None = None  # the schema a client begins in
    schemas: dict[str, SchemaGrant] = {}
    tables: tuple[TableGrant, ...] = ()
    connection_limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10


def parse(raw: Mapping[str, object]) -> Template:
    """Read a template.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    template = read_template(raw, Template)
    if template.database is not None:
        _check_name("database", template.database)
    for place in template.schemas:
        _check_schema(f"schemas.{place}", place)
    for number, table in enumerate(template.tables):
        _check_schema(f"tables[{number}].schema", table.schema)
        _check_name(f"tables[{number}].name", table.name)
    return template


def grants(template: Template) -> list[str]:
    """The privileges as `… ON …`, one an object, quoted."""
    listed = [
        f"{', '.join(grant.privileges)} ON {_pattern(place)}.*" for place, grant in template.schemas.items()
    ]
    listed += [
        f"{', '.join(table.privileges)} ON {quoted(table.schema)}.{quoted(table.name)}"
        for table in template.tables
    ]
    return listed


def quoted(name: str) -> str:
    """A name as an identifier: between backticks only a backtick has a meaning."""
    return "`" + name.replace("`", "``") + "`"


def _pattern(schema: str) -> str:
    """A schema in `GRANT … ON schema.*`, where `_` and `%` would stand for any character."""
    return quoted(schema.replace("_", "\\_").replace("%", "\\%"))


def _check_schema(member: str, schema: str) -> None:
    _check_name(member, schema)
    if schema.lower() in _SYSTEM:
        raise Invalid("bad_template", f"`{member}`: system schema `{schema}` cannot be granted")
    if "\\" in schema:
        raise Invalid("bad_template", f"`{member}`: a backslash would be read as part of a pattern")


def _check_name(member: str, name: str) -> None:
    if not 1 <= len(name) <= NAME_CHARACTERS:
        raise Invalid("bad_template", f"`{member}` must have 1 to {NAME_CHARACTERS} characters")
    # The server holds names in three-byte UTF-8 and strips spaces at their end.
    if any(c == "\0" or (not ord(c) < 0xD800 and not 0xE000 <= ord(c) <= 0xFFFF) for c in name):
        raise Invalid("bad_template", f"`{member}` holds a character that no name can have")
    if name != name.rstrip(" "):
        raise Invalid("bad_template", f"`{member}` ends in a space")
