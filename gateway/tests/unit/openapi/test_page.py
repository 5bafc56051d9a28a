from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from rota_gateway.openapi import docs_html


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects what they load and name."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_every_operation_and_loads_nothing(document: dict[str, Any]) -> None:
    page = docs_html(document)
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert not reader.tags & {"script", "link", "img", "iframe"}
    assert all(link.startswith("#") or link in {"/openapi.json", "/asyncapi.json"} for link in reader.links)
    for path, item in document["paths"].items():
        assert path in page
        assert {each["operationId"] for each in item.values()} <= set(reader.ids)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


def test_text_of_the_contract_cannot_become_markup(document: dict[str, Any]) -> None:
    described = {**document, "info": {**document["info"], "title": "<script>alert(1)</script>"}}
    assert "<script>" not in docs_html(described)
