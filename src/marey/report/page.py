"""The pieces that a page is made of. Whatever comes from a user passes through `text` on its way in."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

# A page may show its own images and style, and nothing else: no script, no request to anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Markup(str):
    """Text that is HTML already; every other string is escaped."""

    __slots__ = ()


def text(value: object) -> str:
    """The value as HTML: `Markup` as it is, everything else escaped."""
    return str(value) if isinstance(value, Markup) else html.escape(str(value), quote=True)


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """`<name attributes>children</name>`; `class_` and `for_` lose their underscore, None drops an attribute."""
    shown = "".join(
        f' {key.rstrip("_")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>{''.join(text(child) for child in children)}</{name}>")


def join(parts: Iterable[object], between: str = "\n") -> Markup:
    return Markup(between.join(text(part) for part in parts if part))


def image(content: bytes, kind: str, alt: str, class_: str | None = None) -> Markup:
    """An image inlined as base64; `kind` is "png" or "jpeg"."""
    data = base64.b64encode(content).decode("ascii")
    mark = f' class="{class_}"' if class_ else ""
    return Markup(f'<img{mark} alt="{html.escape(alt, quote=True)}" src="data:image/{kind};base64,{data}">')


def figure(path: Path, alt: str, caption: object = "", *, width: str | None = None) -> Markup:
    """A saved plot with its caption."""
    parts = [image(path.read_bytes(), "png", alt, "plot")]
    if caption:
        parts.append(tag("figcaption", caption))
    return tag("figure", *parts, style=f"max-width:{width}" if width else None)


def cell(value: object, *, numeric: bool = False, bar: float | None = None, class_: str = "") -> Markup:
    """A table cell; `bar` 0…1 draws a bar behind the number."""
    classes = " ".join(c for c in (class_, "n" if numeric else "", "bar" if bar is not None else "") if c)
    style = None if bar is None else f"--w:{100 * min(max(bar, 0), 1):.1f}%"
    return tag("td", value, class_=classes or None, style=style)


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Iterable[int] = (), tall: bool = False
) -> Markup:
    """A table that scrolls within itself where the screen is narrow.

    Args:
        head: column titles.
        rows: cells, `Markup` of whole `<td>` or values.
        numeric: columns that are aligned to the right.
        tall: bounded height, for very many rows.
    """
    right = set(numeric)
    top = tag("tr", *(tag("th", h, class_="n" if i in right else None) for i, h in enumerate(head)))
    body = []
    for row in rows:
        cells = [
            c if isinstance(c, Markup) and c.startswith("<td") else cell(c, numeric=i in right)
            for i, c in enumerate(row)
        ]
        body.append(tag("tr", *cells))
    inner = tag("table", tag("thead", top), tag("tbody", *body))
    return tag("div", inner, class_="wide tall" if tall else "wide")


def facts(rows: Iterable[tuple[object, object]]) -> Markup:
    """A list of names and values."""
    return tag("dl", *(Markup(tag("dt", name) + tag("dd", value)) for name, value in rows), class_="facts")


def note(*parts: object) -> Markup:
    return tag("p", *parts, class_="note")


def document(title: str, body: Markup, *, style: str = "", script: str = "", media: bool = False) -> str:
    """The whole page: one file that fetches nothing.

    Args:
        style: more of it, after the report's.
        script: runs at the end of the page. It is named by its hash in the page's policy, so that nothing else runs.
        media: whether the page may play videos of the folder that it lies in, or of its own.
    """
    sheet = resources.files("marey.report").joinpath("report.css").read_text(encoding="utf-8") + style
    policy = _POLICY
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
    if media:
        policy += "; media-src 'self' file: data:"
    running = f"<script>{script}</script>\n" if script else ""
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{text(title)}</title>\n<style>\n{sheet}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{running}</body>\n</html>\n"
    )
