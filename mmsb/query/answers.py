"""What every answer is: a frozen record that shows itself and turns into plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from mmsb.query.document import Document, html, plain


class Answer:
    """Base of the answers. ``str(answer)`` is text; a notebook shows it as HTML."""

    __slots__ = ()

    def document(self) -> Document:
        """The blocks that show this answer."""
        raise NotImplementedError

    @property
    def exit_code(self) -> int:
        """What a command that shows it exits with; 3: the recording lacks what was asked for."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, keys in field order: dicts, lists, texts, numbers, booleans, None."""
        found: dict[str, Any] = plain_data(self)
        return found

    def __str__(self) -> str:
        return plain(self.document())

    def _repr_html_(self) -> str:
        return html(self.document())


def plain_data(value: Any) -> Any:
    """A record as plain data, without fields whose metadata says ``{"data": False}``."""
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain_data(getattr(value, field.name))
            for field in fields(value)
            if field.metadata.get("data", True)
        }
    if isinstance(value, dict):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_data(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Function:
    """A method instance, as an answer names it."""

    name: str  # as people write it: "f(::Int64)"
    key: str  # the subject of its pages
    method: str  # its method's key
    module: str
    depth: int | None  # calls away from the user's modules; None: out of the recording's scope

    @property
    def in_scope(self) -> bool:
        return self.depth is not None

    @property
    def is_users(self) -> bool:
        """Whether it is recorded for itself, not because something calls it."""
        return self.depth == 0
