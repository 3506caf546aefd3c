"""Programs as documents print them: found, given back their indentation, and taken apart.

Some copies of a document have lost the white space at the beginning of each line, and
Python cannot do without. `reindented` gives it back by rules that hold for these programs:
a colon opens a block, an empty line ends the loops and conditions of a function, what can
never be reached stands one block further out. One copy has lost its empty lines as well: its
programs are those of another copy, line by line, and take their form.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

_FENCED: Final = re.compile(r"^```python.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BARE: Final = re.compile(
    r"^(?:# Requires: mellea\n|import asyncio\n)(?:.*\n)*?asyncio\.run\(.*\)$", re.MULTILINE
)
_SIMPLE: Final = re.compile(r"(async for|for|while|if|else|elif|match|case|async with|with)\b")
_LEAVES: Final = re.compile(r"(return|raise|break|continue|pass)\b")
_DEFINES: Final = re.compile(r"(async def|def|class|@)")


def programs(document: str) -> list[str]:
    """Return the programs that a document prints, in its order, with their indentation."""
    if "```python" in document:
        return [each for each in _FENCED.findall(document) if "asyncio.run(" in each]
    return [reindented(match.group()) for match in _BARE.finditer(document)]


def code_of(program: str) -> tuple[str, ...]:
    """Return the lines of a program without comments, empty lines and indentation."""
    lines = (line.partition(" # ")[0].strip() for line in program.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def reindented(program: str) -> str:
    """Return a program whose lines have lost their indentation with one that fits.

    Raises:
        SyntaxError: the rules do not do for it.
    """
    text = "\n".join(_lines(program)) + "\n"
    ast.parse(text)
    return text


def _lines(program: str) -> Iterator[str]:
    blocks: list[str] = []  # what opened each block that is open: its first words
    depth, opening, left = 0, "", False
    for line in map(str.strip, program.splitlines()):
        if depth:
            yield "    " * (len(blocks) + 1) + line
        elif not line:
            left = False
            while blocks and _SIMPLE.match(blocks[-1]):
                blocks.pop()
            yield ""
            continue
        else:
            _leave(blocks, line, left)
            yield "    " * len(blocks) + line
            opening = line
        code = line.partition("#")[0].rstrip() if '"' not in line else line
        depth += sum(code.count(each) for each in "([{") - sum(code.count(each) for each in ")]}")
        if not depth and code.endswith(":") and not code.startswith("#"):
            blocks.append(opening)
            left = False
        elif not depth:
            left = bool(_LEAVES.match(opening))


def _leave(blocks: list[str], line: str, left: bool) -> None:
    """Close the blocks that *line* cannot stand in."""
    if line.startswith("#"):
        return
    if _DEFINES.match(line):
        inside = "self" in line or (line.endswith("(") and bool(blocks))
        if not inside or line.startswith("class"):
            blocks.clear()
        while blocks and not blocks[-1].startswith("class"):
            blocks.pop()
    elif line.startswith(("asyncio.run(", "summaries = asyncio.run(")):
        blocks.clear()
    elif line.startswith("case "):
        while blocks and not blocks[-1].startswith("match "):
            blocks.pop()
    elif left and blocks and _SIMPLE.match(blocks[-1]):
        blocks.pop()


def body_and_call(program: str) -> tuple[str, str]:
    """Return a program without its ``asyncio.run``, and the coroutine that it ran.

    So that the same program can run on another event loop.
    """
    tree = ast.parse(program)
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.run":
                before = tree.body[: tree.body.index(statement)]
                return ast.unparse(ast.Module(before, [])), ast.unparse(node.args[0])
    raise ValueError("the program runs nothing")
