"""Finds what serves a path: a tree of segments, walked once per request."""

from __future__ import annotations

from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("by_method", "literals", "parameter", "template")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.by_method: dict[str, T] = {}
        self.template = ""


class PathTable(Generic[T]):
    """Templates such as "/api/v1/tasks/{id}" and what serves them, by HTTP method.

    A literal segment goes before a parameter; a parameter is never empty.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._literal: dict[str, _Node[T]] = {}

    def add(self, method: str, template: str, value: T) -> None:
        """Let `value` serve a method of a path."""
        node = self._root
        for segment in template.removeprefix("/").split("/"):
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        node.by_method[method] = value
        node.template = node.template or template
        if "{" not in template:
            self._literal[template] = node

    def find(self, path: str) -> tuple[str, dict[str, T], tuple[str, ...]] | None:
        """What serves a percent-encoded path: its template, values by method, and the parameters, decoded.

        Raises:
            UnicodeDecodeError: a parameter is not UTF-8.
        """
        literal = self._literal.get(path)
        if literal is not None:
            return literal.template, literal.by_method, ()
        found = _walk(self._root, path.removeprefix("/").split("/"), 0)
        if found is None:
            return None
        node, captured = found
        return node.template, node.by_method, tuple(_decode(segment) for segment in captured)


def _walk(node: _Node[T], segments: list[str], index: int) -> tuple[_Node[T], tuple[str, ...]] | None:
    if index == len(segments):
        return (node, ()) if node.by_method else None
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, index + 1)
        if found is not None:
            return found
    if node.parameter is None or not segment:
        return None
    found = _walk(node.parameter, segments, index + 1)
    return None if found is None else (found[0], (segment, *found[1]))


def _decode(segment: str) -> str:
    return unquote(segment, errors="strict") if "%" in segment else segment
