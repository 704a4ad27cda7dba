"""The project's Markdown files, and what is written in them: links, anchors, code."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.plugins import ROOT

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$", re.M | re.S)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.M)
LINK = re.compile(r"\]\(<?([^()\s>]+)>?\)|^\[[^\]]+\]:\s*(\S+)", re.M)
MADE = {"artifacts", "node_modules"}


@dataclass(frozen=True)
class Document:
    """A file, or a template of one.

    Attributes:
        path: where it stands.
        text: all of it.
    """

    path: Path
    text: str

    @property
    def name(self):
        return self.path.relative_to(ROOT).as_posix()

    @property
    def prose(self):
        """The text without its code."""
        return SPAN.sub("`", FENCE.sub("", self.text))

    @property
    def links(self):
        return [first or second for first, second in LINK.findall(self.prose)]

    @property
    def anchors(self):
        """Where links may point to, as GitHub names its headings."""
        found = []
        for heading in HEADING.findall(FENCE.sub("", self.text)):
            words = re.sub(r"\]\([^)]*\)", "", heading.lower())
            anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            earlier = sum(
                re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", f) is not None for f in found
            )
            found.append(f"{anchor}-{earlier}" if earlier else anchor)
        return found

    @property
    def spans(self):
        """What stands between single backticks, each on one line."""
        return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", self.text))]

    def fences(self, *languages):
        return [m["body"] for m in FENCE.finditer(self.text) if m["language"] in languages]


def documents():
    """All but those that the program or a package manager makes."""
    tops = [p for p in ROOT.iterdir() if not p.name.startswith(".") and p.name not in MADE]
    below = [p for top in tops for p in top.rglob("*.md*") if not MADE & set(p.parts)]
    above = [*ROOT.glob("*.md"), ROOT / "artifacts" / "README.md"]
    paths = sorted(p for p in {*above, *below} if p.name.endswith((".md", ".md.jinja")))
    return [Document(path, path.read_text(encoding="utf-8")) for path in paths]


def lines_of(fence):
    """The commands in a fenced block, those on several lines as one, notes behind them cut off."""
    joined = re.sub(r"\s*\\\n\s*", " ", fence)
    joined = re.sub(r"\n +(?=\S)", " ", joined)
    return [
        re.split(r"(?<=\S) {3,}", line)[0].strip() for line in joined.splitlines() if line.strip()
    ]
