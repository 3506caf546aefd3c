"""
The pages of the documentation, taken apart: blocks, outputs, links.

Python blocks come in four kinds. A *program* runs as it stands. A *frame* is a program
in which one statement is ``...``; it says where the short blocks of its page go. A
*fragment* is such a short block: it awaits something outside of any function, and is put
into the nearest frame above it. A block of kind ``text`` right below a Python block is
what that prints; ``…`` in it stands for anything within a line, and on a line of its own
for any lines.

A *file* is a block that begins with its name, ``# name.py``. It is not run by itself, but
written down for the commands below it, which are blocks of kind ``sh``.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple(
    page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.exists()
)

_FENCE: Final = re.compile(r"^```(\w*)$")
_FILE: Final = re.compile(r"# (\w+\.py)\n")
_LINK: Final = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@attrs.frozen
class Block:
    """A fenced block of a page.

    Attributes:
        page: the page it stands on.
        line: the line of the page on which its text begins, counted from 1.
        kind: the word after the opening fence, or nothing.
        text: what stands between the fences.
    """

    page: Path
    line: int
    kind: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that this block is, if it is one."""
        found = _FILE.match(self.text) if self.kind == "python" else None
        return found[1] if found else None


@attrs.frozen
class Command:
    """A block of kind ``sh``, and the files that stand above it.

    Attributes:
        block: where it stands.
        files: the newest text of each file above it, by name.
        output: what the page says that it prints.
    """

    block: Block
    files: dict[str, str]
    output: str


@attrs.frozen
class Runnable:
    """A Python block that is ready to run.

    Attributes:
        block: where it stands.
        tree: the whole program.
        output: what the page says that it prints, or None if it says nothing.
    """

    block: Block
    tree: ast.Module
    output: str | None

    @property
    def name(self) -> str:
        return self.block.name


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: tuple[str, int, list[str]] | None = None
    for number, line in enumerate(text_of(page).splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened = (fence[1], number + 1, [])
        elif line == "```":
            kind, first, lines = opened
            found.append(Block(page, first, kind, "".join(f"{each}\n" for each in lines)))
            opened = None
        else:
            opened[2].append(line)
    assert opened is None, f"{page.name}: the block at line {opened[1]} has no end"
    return found


def runnables_of(page: Path) -> Iterator[Runnable]:
    """Yield the Python blocks of a page that can be run, fragments inside their frames."""
    frame: Block | None = None
    blocks = blocks_of(page)
    for block, following in itertools.zip_longest(blocks, blocks[1:]):
        if block.kind != "python" or block.file:
            continue
        output = None
        if following is not None and following.kind == "text" and _adjacent(block, following):
            output = following.text
        tree = _parse(block)
        if _is_fragment(tree):
            assert frame is not None, f"{block.name} awaits something, and there is no frame above"
            tree = _filled(_parse(frame), tree)
        elif _has_place(tree):
            frame = block
            assert output is None, f"{block.name} is a frame, and prints nothing by itself"
        yield Runnable(block, tree, output)


def commands_of(page: Path) -> Iterator[Command]:
    """Yield the commands of a page whose output it shows."""
    files: dict[str, str] = {}
    blocks = blocks_of(page)
    for block, following in itertools.pairwise(blocks):
        if block.file:
            files[block.file] = block.text
        if block.kind == "sh" and following.kind == "text" and _adjacent(block, following):
            yield Command(block, dict(files), following.text)


def _adjacent(block: Block, following: Block) -> bool:
    # The closing fence, an empty line and the opening fence lie between them.
    return following.line - (block.line + block.text.count("\n")) == 3


def _parse(block: Block) -> ast.Module:
    # Line numbers of the page, so that a traceback points there.
    return ast.parse("\n" * (block.line - 1) + block.text, block.name)


def _is_fragment(tree: ast.Module) -> bool:
    try:
        compile(tree, "<a block>", "exec")
    except SyntaxError:
        return True
    return False


def _is_place(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
    )


def _has_place(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.stmt) and _is_place(node) for node in ast.walk(tree))


def _filled(frame: ast.Module, fragment: ast.Module) -> ast.Module:
    for node in ast.walk(frame):
        body: list[ast.stmt] = getattr(node, "body", [])
        if isinstance(body, list):
            for index, statement in enumerate(body):
                if _is_place(statement):
                    body[index : index + 1] = fragment.body
                    return frame
    raise AssertionError("there is no `...` in the frame")


def pattern_of(output: str) -> re.Pattern[str]:
    """Return a pattern for what the page says that a block prints."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.split("…"))) + "\n"
        for line in output.splitlines()
    ]
    return re.compile("".join(lines))


def links_of(page: Path) -> list[str]:
    """Return the targets of the links on a page, those inside blocks left out."""
    text = text_of(page)
    for block in blocks_of(page):
        text = text.replace(block.text, "")
    return _LINK.findall(text)


def anchors_of(page: Path) -> set[str]:
    """Return the names that links can use for the headings of a page."""
    text = text_of(page)
    for block in blocks_of(page):
        text = text.replace(block.text, "")
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in words}
