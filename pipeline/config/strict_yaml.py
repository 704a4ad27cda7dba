"""A YAML reader without YAML's traps: `1e-3` is a number, `off` is text, keys do not repeat."""

import re
from typing import Any, ClassVar

import yaml

from pipeline.core.errors import ConfigError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 50
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema, no aliases, tags or repeated keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases (*name) are not supported; write the value out", event)
        if event.tag is not None:
            raise _problem("tags (!name) are not supported; write plain data", event)
        if self.depth == MAX_DEPTH:
            raise _problem(f"nested more than {MAX_DEPTH} deep; no setting is", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and HALF_CHARACTER.search(value):
            raise _problem(f"{value!r} holds half a character; write all of it", node)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _problem(f"key {key!r} is not text; put it in quotes", key_node)
            if key in seen:
                raise _problem(f"key {key!r} stands twice; remove one", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _RefusedError(yaml.MarkedYAMLError):
    """YAML, but more than plain data; says what to do."""


def _problem(text: str, where: Any) -> _RefusedError:
    return _RefusedError(problem=text, problem_mark=where.start_mark)


def _construct_int(loader: _Loader, node: Any) -> int:
    return int(loader.construct_scalar(node))


def _construct_float(loader: _Loader, node: Any) -> float:
    return float(loader.construct_scalar(node))


_SCALARS = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]{1,18}", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def parse_yaml(text: str, name: str) -> Any:
    """Parses one document of plain data.

    Args:
        text: the document.
        name: where it comes from, for errors.

    Raises:
        ConfigError: not YAML, more than plain data, or too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"{name}: more than {MAX_CHARACTERS:,} characters, which is more than any config has; "
            "name another file"
        )
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: holds the unprintable character U+{error.character:04X}; remove it"
        ) from None
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{name}:{_line(error)}: {problem}{_remedy(error)}") from None


def _remedy(error: yaml.MarkedYAMLError) -> str:
    if isinstance(error, _RefusedError):
        return ""
    is_tab = "'\\t'" in str(error.problem)
    return "; indent with spaces" if is_tab else "; correct the YAML there"


def _line(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    return mark.line + 1
