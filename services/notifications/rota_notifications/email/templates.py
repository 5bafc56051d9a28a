"""The words and the shape of a mail, in English."""

from __future__ import annotations

from html import escape

FOOTER = "You get this e-mail because you take part in a workspace on Rota."

_HTML = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body style="margin: 0; padding: 24px; font-family: system-ui, sans-serif; line-height: 1.5; color: #1c1c1e">
<p>{greeting}</p>
<h1 style="font-size: 20px; overflow-wrap: anywhere">{title}</h1>
<p>{body}</p>
<p style="font-size: 13px; color: #6e6e73">{footer}</p>
</body>
</html>
"""


def as_text(*, name: str, title: str, body: str, footer: str = FOOTER) -> str:
    """The mail as plain text."""
    return "\n\n".join([_greeting(name), title, body, f"-- \n{footer}"]) + "\n"


def as_html(*, name: str, title: str, body: str, footer: str = FOOTER) -> str:
    """The mail as HTML; whatever the arguments hold is shown, never interpreted."""
    return _HTML.format(greeting=escape(_greeting(name)), title=escape(title), body=escape(body), footer=escape(footer))


def _greeting(name: str) -> str:
    return f"Hello {name}," if name else "Hello,"
