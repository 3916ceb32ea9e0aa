"""A study definition out of a request's body, JSON or YAML."""

import hashlib
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, Any

from fastapi import Depends, Request

from hpsearch.errors import MalformedBody, UnsupportedMediaType
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.yaml import load_json, load_yaml

JSON = "application/json"
YAML = "application/yaml"


@dataclass(frozen=True, slots=True)
class DefinitionBody:
    """A body that claims to be a definition, not yet parsed.

    Attributes:
        media_type: ``application/json`` or ``application/yaml``.
        content: As it came.
    """

    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash by which a replay knows the same body again."""
        return hashlib.sha256(self.content).hexdigest()

    def parse(self, catalog: Catalog) -> Definition:
        """Return the definition.

        Raises:
            MalformedBody: It is not what its type says.
            InvalidDefinition: All its wrong fields.
        """
        text = self._text()
        if self.media_type == YAML:
            document, lines = load_yaml(text)
            return parse_definition(document, catalog, lines)
        raw: Any = load_json(text)
        return parse_definition(raw, catalog)

    def _text(self) -> str:
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise MalformedBody(
                f"the body is not UTF-8: {error.reason} at byte {error.start}"
            ) from error
        if not text.strip():
            raise MalformedBody("the body is empty; send a study definition")
        return text


async def read_definition(request: Request) -> DefinitionBody:
    """Return the body of a request that brings a definition.

    Raises:
        UnsupportedMediaType: It is neither JSON nor YAML, or compressed, or not UTF-8.
        BodyTooLarge: It is larger than this server accepts.
    """
    return DefinitionBody(checked_media_type(request, JSON, YAML), await request.body())


def checked_media_type(request: Request, *allowed: str) -> str:
    """Return the media type of a request's body.

    Raises:
        UnsupportedMediaType: It is none of the allowed, or the body is compressed or not UTF-8.
    """
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    media_type = header.get_content_type() if request.headers.get("content-type") else "nothing"
    if media_type not in allowed:
        raise UnsupportedMediaType(
            f"send the body as Content-Type {' or '.join(allowed)}, not {media_type[:100]}"
        )
    charset = str(header.get_param("charset") or "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"send the body in UTF-8, not {charset[:100]}")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"send the body as it is, not in {encoding[:100]}")
    return media_type


DefinitionBodyOf = Annotated[DefinitionBody, Depends(read_definition)]
