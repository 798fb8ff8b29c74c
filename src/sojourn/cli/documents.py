"""Reads documents people write: YAML or JSON, strictly. A member given twice is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

from sojourn.client.jsonfacts import Json
from sojourn.core.errors import Invalid

_LARGEST: Final = 1 << 20


def read_document(path: Path) -> Json:
    """Read the object in `path`; `.json` as JSON, everything else as YAML.

    Raises:
        Invalid: code `bad_document`.
    """
    raw = path.read_bytes()
    if len(raw) > _LARGEST:
        raise Invalid("bad_document", f"expected at most {_LARGEST} bytes in `{path}`")
    try:
        text = raw.decode("utf-8")
        value = _read_json(text) if path.suffix == ".json" else _read_yaml(text)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise Invalid("bad_document", f"`{path}` cannot be read: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise Invalid("bad_document", f"expected an object in `{path}`, got a {type(value).__name__}")
    return cast(Json, value)


def _read_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Invalid("bad_document", f"member `{name[:40]}` is given twice")
        found[name] = value
    return found


def _read_yaml(text: str) -> object:
    try:
        import yaml
    except ModuleNotFoundError as error:
        mend = "install `sojourn[server]`, or write the document as .json"
        raise Invalid("no_yaml", f"this installation cannot read YAML; {mend}") from error

    class Strict(yaml.SafeLoader):
        """Refuses repeated members, merges and aliases."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            pairs = [
                (self.construct_object(k, deep=True), self.construct_object(v, deep=True))
                for k, v in node.value
            ]
            if not all(isinstance(name, str) for name, _ in pairs):
                raise Invalid("bad_document", f"expected members with text names{_at(node)}")
            return _once(pairs)

        def construct_yaml_map(self, node: yaml.MappingNode) -> Any:
            return self.construct_mapping(node)

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise Invalid("bad_document", "aliases are not allowed")
            return super().compose_node(parent, index)

    Strict.add_constructor("tag:yaml.org,2002:map", Strict.construct_yaml_map)
    try:
        return cast(object, Strict(text).get_single_data())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise Invalid("bad_document", f"the text is not YAML{where}") from error


def _at(node: Any) -> str:
    return f" in line {node.start_mark.line + 1}"
