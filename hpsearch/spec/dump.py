"""A definition as YAML that people read and edit."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

SHORT_CHARS = 68  # what is no longer stands on one line


class _Representer(RoundTripRepresenter):
    """Writes null as a word: an empty value looks forgotten."""

    def represent_none(self, _data: Any) -> ScalarNode:
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:null", "null")
        return node


_Representer.add_representer(type(None), _Representer.represent_none)


def dump_yaml(document: Mapping[str, Any]) -> str:
    """Return a JSON document as YAML 1.2.

    :func:`hpsearch.spec.yaml.load_yaml` reads the same document back.
    """
    writer = YAML()
    writer.Representer = _Representer
    writer.width = 10_000  # no line is broken
    buffer = io.StringIO()
    writer.dump(_styled(document, is_top=True), buffer)
    return buffer.getvalue()


def _styled(value: Any, *, is_top: bool = False) -> Any:
    styled: CommentedMap | CommentedSeq
    if isinstance(value, Mapping):
        styled = CommentedMap((key, _styled(item)) for key, item in value.items())
    elif isinstance(value, list | tuple):
        styled = CommentedSeq(_styled(item) for item in value)
    elif isinstance(value, str) and value.startswith("?"):
        return DoubleQuotedScalarString(value)  # bare, it opens a key inside brackets
    else:
        return value
    if not is_top and len(str(value)) <= SHORT_CHARS:
        styled.fa.set_flow_style()
    return styled
