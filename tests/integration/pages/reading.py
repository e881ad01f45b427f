"""What the tests of pages share: what a page loads, what it says, and whether it keeps to the policy."""

from __future__ import annotations

from html.parser import HTMLParser


class Reading(HTMLParser):
    """Collects what a page loads or links to, what would run in it, its headings, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.active: list[str] = []
        self.headings: list[str] = []
        self.titles: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name, value in attrs:
            if name in {"href", "src", "action", "formaction", "hx-get", "sse-connect"}:
                self.addresses.append(value or "")
            if name.startswith(("on", "hx-on")) or name == "style":
                self.active.append(f"{tag} {name}")
            if name == "id":
                self.ids.append(value or "")
        if tag == "script":
            if given.get("src"):
                self.scripts.append(given["src"] or "")
            elif given.get("type") != "application/json":
                self.active.append("inline script")
        if tag in {"iframe", "object", "style", "embed"}:
            self.active.append(tag)
        if tag not in {"meta", "link", "input", "img", "br", "hr"}:
            self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "h1" in self._in:
            self.headings.append(data.strip())
        if "title" in self._in:
            self.titles.append(data)
        if "script" not in self._in:
            self.words.append(data)

    @property
    def text(self) -> str:
        """What stands on the page, with single spaces."""
        return " ".join(" ".join(self.words).split())


def keeps_to_the_policy(text: str) -> Reading:
    """A whole page: one title, one heading, no id twice, nothing inline, nothing from elsewhere."""
    found = Reading(text)
    assert found.active == []
    assert "".join(found.titles).strip() not in {"", "· Enginehouse"}
    assert text.count("<h1") == 1
    assert len(found.ids) == len(set(found.ids)), sorted(found.ids)
    for address in found.addresses:
        assert address.startswith(("/", "#", "?")), address
        assert not address.startswith("//"), address
    return found
