"""Grant templates: which privileges a role may be born with; a closed vocabulary.

Everything that would let a credential outlive or outgrow its session has no word here:
no attribute of a role, no grant option, no function, no trigger, no system schema.
Whether a group role is harmless only the server knows; it is asked at issue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from sojourn.core.errors import Invalid
from sojourn.providers.postgresql.names import check_name

BAD: Final = "bad_template"
EVERY: Final = "*"

SchemaPrivilege = Literal["USAGE", "CREATE"]
TablePrivilege = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]
SequencePrivilege = Literal["USAGE", "SELECT", "UPDATE"]


class SchemaGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privileges on one schema."""

    privileges: Annotated[tuple[SchemaPrivilege, ...], msgspec.Meta(min_length=1)]


class TableGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privileges on one table or view, or on all there are in a schema at issue (`*`)."""

    schema: str
    name: str
    privileges: Annotated[tuple[TablePrivilege, ...], msgspec.Meta(min_length=1)]


class SequenceGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Privileges on one sequence, or on all there are in a schema at issue (`*`)."""

    schema: str
    name: str
    privileges: Annotated[tuple[SequencePrivilege, ...], msgspec.Meta(min_length=1)]


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one role gets, in one database."""

    database: str
    schemas: dict[str, SchemaGrant] = {}
    tables: tuple[TableGrant, ...] = ()
    sequences: tuple[SequenceGrant, ...] = ()
    roles: tuple[str, ...] = ()
    connection_limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    may_own_objects: bool = False


def parse(raw: Mapping[str, object], databases: tuple[str, ...]) -> Template:
    """Read a template whose database is one of `databases`.

    Raises:
        Invalid: code `bad_template`, naming the member and what was expected.
    """
    try:
        template = msgspec.convert(dict(raw), Template)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Invalid(BAD, f"{text[:1].lower()}{text[1:300]}") from error
    if template.database not in databases:
        raise Invalid(BAD, f"`database` must be one of {list(databases)}, got `{template.database[:63]}`")
    for place, schema in template.schemas.items():
        _check_schema("schemas", place)
        if "CREATE" in schema.privileges and not template.may_own_objects:
            raise Invalid(BAD, f"`schemas.{place}.privileges`: CREATE needs `may_own_objects`")
    _check_objects("tables", template.tables)
    _check_objects("sequences", template.sequences)
    for number, role in enumerate(template.roles):
        _check_role(f"roles[{number}]", role)
    return template


def grants(template: Template) -> list[dict[str, object]]:
    """The privileges as the issue statement wants them: one entry an object and privilege."""
    listed: list[dict[str, object]] = [
        {"kind": "SCHEMA", "schema": place, "name": None, "privilege": privilege}
        for place, schema in template.schemas.items()
        for privilege in schema.privileges
    ]
    kinds: tuple[tuple[str, Sequence[TableGrant | SequenceGrant]], ...]
    kinds = (("TABLE", template.tables), ("SEQUENCE", template.sequences))
    for kind, objects in kinds:
        listed.extend(
            {"kind": kind, "schema": one.schema, "name": one.name, "privilege": privilege}
            for one in objects
            for privilege in one.privileges
        )
    return listed


def _check_objects(member: str, objects: Sequence[TableGrant | SequenceGrant]) -> None:
    for number, one in enumerate(objects):
        _check_schema(f"{member}[{number}].schema", one.schema)
        check_name(BAD, f"{member}[{number}].name", one.name)


def _check_schema(member: str, schema: str) -> None:
    check_name(BAD, member, schema)
    # An admin who is a superuser could otherwise hand out pg_authid.
    if schema.startswith("pg_") or schema == "information_schema":
        raise Invalid(BAD, f"`{member}`: system schema `{schema}` cannot be granted")


def _check_role(member: str, role: str) -> None:
    check_name(BAD, member, role)
    if role.startswith("pg_") or role in ("public", "none"):
        raise Invalid(BAD, f"`{member}`: predefined role `{role}` cannot be granted")
