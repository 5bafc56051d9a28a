"""A page of the document for people: one HTML file that loads nothing, so that it works offline."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE = """\
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .4rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; }
"""
_VERBS = ("get", "post", "put", "patch", "delete")


def docs_html(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document: every operation with its parameters, bodies and answers."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    operations = "\n".join(_tags(document))
    schemas = "\n".join(_schemas(document))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{_paragraphs(info['description'])}\n"
        f'<p><a href="/openapi.json">openapi.json</a>; events and web sockets: '
        f'<a href="/asyncapi.json">asyncapi.json</a></p>\n'
        f"{operations}\n<h2>Schemas</h2>\n{schemas}\n</body>\n</html>\n"
    )


def _tags(document: Mapping[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>\n{_paragraphs(tag['description'])}"
        for path, item in document["paths"].items():
            for verb in _VERBS:
                if verb in item and tag["name"] in item[verb]["tags"]:
                    yield _operation(verb, path, item[verb])


def _operation(verb: str, path: str, operation: Mapping[str, Any]) -> str:
    access = "needs an access token" if operation["security"] else "open to anyone"
    parts = [_paragraphs(operation["description"]), f"<p><i>{access}</i></p>"]
    if parameters := operation.get("parameters"):
        rows = "".join(map(_parameter, parameters))
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th>Value</th><th></th></tr>{rows}</table>")
    if body := operation.get("requestBody"):
        parts += [
            f"<p>Body, {escape(kind)}: {_type(content['schema'])}</p>" for kind, content in body["content"].items()
        ]
    rows = "".join(_answer(status, answer) for status, answer in operation["responses"].items())
    parts.append(f"<table><tr><th>Status</th><th>Answer</th></tr>{rows}</table>")
    summary = f"<b>{verb.upper()}</b> <code>{escape(path)}</code> {escape(operation['summary'])}"
    identity = escape(operation["operationId"])
    return f'<details id="{identity}"><summary>{summary}</summary>\n{"".join(parts)}</details>'


def _parameter(parameter: Mapping[str, Any]) -> str:
    name = f"<code>{escape(parameter['name'])}</code>" + (" (required)" if parameter.get("required") else "")
    text = escape(parameter.get("description", ""))
    return f"<tr><td>{name}</td><td>{parameter['in']}</td><td>{_type(parameter['schema'])}</td><td>{text}</td></tr>"


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    if reference := answer.get("$ref"):
        return f"<tr><td>{status}</td><td>{escape(reference.rpartition('/')[2])} (problem)</td></tr>"
    schemas = "".join(f": {_type(content['schema'])}" for content in answer.get("content", {}).values())
    return f"<tr><td>{status}</td><td>{escape(answer['description'])}{schemas}</td></tr>"


def _type(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "enum" in schema:
        return ", ".join(f"<code>{escape(json.dumps(word))}</code>" for word in schema["enum"])
    kind = schema.get("type", "any")
    names = kind if isinstance(kind, list) else [kind]
    limits = [
        f"{keyword} {schema[keyword]}" for keyword in ("format", "minimum", "maximum", "maxLength") if keyword in schema
    ]
    return escape(" or ".join(names) + (f" ({', '.join(limits)})" if limits else ""))


def _schemas(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
        yield f'<details id="schema-{escape(name)}"><summary>{escape(name)}</summary>\n<pre>{text}</pre></details>'


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.strip().split("\n\n") if part)
