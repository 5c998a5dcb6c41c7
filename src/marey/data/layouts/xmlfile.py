"""XML as annotation tools write it, with the line of every element. Nothing in it can make the parser read or grow.

A document type, and with it every entity of its own, is refused: no tool whose files are read here writes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from marey.errors import ManifestError

_DEPTH = 100


@dataclass
class Element:
    """An element: its name, attributes, text, children, and the line on which it begins."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Element]:
        """Every child of this name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, *path: str) -> Element | None:
        """The first element down a path of names."""
        here: Element | None = self
        for tag in path:
            here = next(here.all(tag), None) if here else None
        return here

    def text_of(self, *path: str) -> str:
        """The text at a path, trimmed; "" where there is none."""
        found = self.first(*path)
        return found.text.strip() if found else ""


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        ManifestError: not well-formed, nested too deeply, or with a document type.
    """
    root = Element("", {}, 1)
    stack = [root]
    parser = expat.ParserCreate()

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > _DEPTH:
            raise ManifestError(
                "elements are nested too deeply.", where=f"{path.name} line {parser.CurrentLineNumber}"
            )
        element = Element(tag, attributes, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def text(words: str) -> None:
        stack[-1].text += words

    def refuse(*_: object) -> None:
        raise ManifestError(
            "a document type (<!DOCTYPE) is refused: it can make a reader grow without end or open other files.",
            "take it out, if the file can be trusted", where=f"{path.name} line {parser.CurrentLineNumber}",
        )  # fmt: skip

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ManifestError(
            f"not readable as XML: {expat.ErrorString(error.code)}.", where=f"{path.name} line {error.lineno}"
        ) from None
    return root.children[0]
