"""What a browser would see of a page: its elements, scripts, policy and words."""

from __future__ import annotations

from html.parser import HTMLParser

LOADS = {"src", "href", "srcset", "action", "formaction", "poster", "background", "ping", "xlink:href"}


class Reader(HTMLParser):
    """The elements of a page: every attribute that loads, the scripts, the text outside them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.words: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.loads += [value or "" for name, value in attrs if name in LOADS or (tag == "object" and name == "data")]
        self.handlers += [name for name in given if name.startswith("on")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag in ("script", "style"):
            self._in = tag
            self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == self._in else self._in

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif not self._in:
            self.words.append(data)
