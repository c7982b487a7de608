"""A page of HTML as tests read it."""

import base64
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def assert_pictures_are_those_of_the_page(folder, page):
    """Check that no picture was drawn twice, once for the page and once as a file."""
    sources = {image["src"] for image in page.all("img")}
    for file in folder.glob("*.png"):
        assert f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" in sources, file.name
