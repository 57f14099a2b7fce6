"""The pages that people read, taken apart: code blocks, links, headings, command lines, quoted messages."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$")
_SPAN = re.compile(r"(`+)(?P<code>.+?)\1")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_SIGNS = " `'\"(),;:.→"
_GLYPHS = ("✗ ", "! ", "✓ ", "► ", "◎ ", "    → ")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is the number of its first line of text in the page."""

    line: int
    info: str
    text: str


@dataclass(frozen=True)
class Page:
    """One Markdown page; `prose` is the text with the fenced blocks blanked out, line by line."""

    name: str
    prose: tuple[str, ...]
    blocks: tuple[Block, ...]

    def anchors(self) -> set[str]:
        """What may stand behind `#` in a link to this page, as GitHub makes it from the headings."""
        found: list[str] = []
        for line in self.prose:
            heading = _HEADING.match(line)
            if heading:
                slug = _slug(heading[1])
                count = sum(item == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", item) is not None for item in found)
                found.append(f"{slug}-{count}" if count else slug)
        return set(found)

    def links(self) -> Iterator[tuple[int, str]]:
        """Line and target of every link in the prose."""
        for number, line in enumerate(self.prose, 1):
            for found in _LINK.finditer(_SPAN.sub("`code`", line)):
                yield number, found[1]

    def spans(self) -> Iterator[tuple[int, str]]:
        """Line and content of every piece of inline code."""
        for number, line in enumerate(self.prose, 1):
            for found in _SPAN.finditer(line):
                yield number, found["code"].strip()


def read_page(name: str, text: str) -> Page:
    """Take a page apart. Raises ValueError for a block that nobody closes."""
    prose: list[str] = []
    blocks: list[Block] = []
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        opening = _FENCE.match(lines[position])
        if opening is None:
            prose.append(lines[position])
            position += 1
            continue
        end = _end_of_block(lines, position, opening["ticks"])
        if end == len(lines):
            raise ValueError(f"{name}:{position + 1}: a code block that nobody closes")
        indent = len(opening["indent"])
        inner = [line[indent:] if line[:indent].isspace() or not indent else line for line in lines[position + 1 : end]]
        blocks.append(Block(position + 2, opening["info"].strip(), "\n".join(inner) + "\n"))
        prose.extend("" for _ in range(position, end + 1))
        position = end + 1
    return Page(name, tuple(prose), tuple(blocks))


def _end_of_block(lines: list[str], position: int, ticks: str) -> int:
    for end in range(position + 1, len(lines)):
        if lines[end].strip() == ticks:
            return end
    return len(lines)


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return "".join(letter for letter in plain if letter.isalnum() or letter in "-_ ").replace(" ", "-")


def dead_links(page: Page, pages: dict[str, Page], root: Path = ROOT) -> list[str]:
    """Every relative link that leads nowhere, with its place."""
    problems = []
    for number, target in page.links():
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (root / page.name).parent / path if path else root / page.name
        if not file.exists():
            problems.append(f"{page.name}:{number}: {target}: there is no such file")
            continue
        name = file.resolve().relative_to(root.resolve()).as_posix()
        if anchor and name in pages and anchor not in pages[name].anchors():
            problems.append(f"{page.name}:{number}: {target}: there is no such heading")
    return problems


def command_lines(page: Page, program: str) -> Iterator[tuple[int, list[str]]]:
    """Line and arguments of every call of a program: in shell blocks, after the prompt of a transcript, inline."""
    for block in page.blocks:
        for offset, line in enumerate(block.text.splitlines()):
            if block.info == "console" and line.startswith("$ "):
                line = line[2:]
            elif block.info != "sh":
                continue
            for arguments in _calls(line, program):
                yield block.line + offset, arguments
    for number, code in page.spans():
        for arguments in _calls(code, program):
            yield number, arguments


def _calls(line: str, program: str) -> Iterator[list[str]]:
    for words in _simple_commands(line):
        while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] == "sudo"):
            words = words[1:]
        if words and words[0].rpartition("/")[2] == program and len(words) > 1 and "…" not in words:
            yield words[1:]


def _simple_commands(line: str) -> list[list[str]]:
    """The commands of a shell line, without its redirections; none for what is not a shell line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        tokens = list(lexer)
    except ValueError:
        return []
    commands: list[list[str]] = [[]]
    skip = False
    for token in tokens:
        if skip:
            skip = False
        elif token and set(token) <= set("<>&|;()"):
            skip = "<" in token or ">" in token
            if not skip:
                commands.append([])
        else:
            commands[-1].append(token)
    return commands


def quoted_messages(page: Page) -> Iterator[tuple[int, str]]:
    """What the page says that moorage says: glyph lines of transcripts, and the first column of tables of messages."""
    for block in page.blocks:
        if block.info != "console":
            continue
        speaker = ""
        for offset, line in enumerate(block.text.splitlines()):
            if line.startswith("$ "):
                speaker = line
            elif "moorage" in speaker and line.startswith(_GLYPHS):
                yield block.line + offset, line.strip().partition(" ")[2]
    in_table = False
    for number, line in enumerate(page.prose, 1):
        if line.startswith("| message |"):
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table:
            for found in _SPAN.finditer(line.split(" | ")[0]):
                yield number, found["code"].strip().strip("✗").strip()


class SourceTexts:
    """All texts that a program can say, read from its source: what is fixed in them, and what is filled in."""

    def __init__(self, sources: Iterator[str] | list[str]) -> None:
        self._parts: set[tuple[str, ...]] = set()
        self._words: set[str] = set()
        for source in sources:
            tree = ast.parse(source)
            known = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            known |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            for node in ast.walk(tree):
                if isinstance(node, (ast.Constant, ast.JoinedStr)) and id(node) not in known:
                    self._add(_fixed_parts(node))
        self._patterns = [(parts, _pattern(parts)) for parts in sorted(self._parts)]

    def unexplained(self, message: str, values: frozenset[str] = frozenset()) -> list[str]:
        """The words of a message that no text of the source contains; names and numbers are values and may be any."""
        covered = [False] * len(message)
        for parts, pattern in self._patterns:
            if not parts[0] or parts[0] in message:
                for found in pattern.finditer(message):
                    for group in range(1, len(found.groups()) + 1):
                        covered[found.start(group) : found.end(group)] = [True] * (
                            found.end(group) - found.start(group)
                        )
        return [
            found[0]
            for found in re.finditer(r"\S+", message)
            if not all(covered[index] for index in range(*found.span()) if message[index].isalnum())
            and not self._is_value(found[0], values)
        ]

    def _add(self, parts: tuple[str, ...]) -> None:
        text = "".join(parts).strip()
        self._words.update(part.strip(_SIGNS) for part in parts if " " not in part.strip(_SIGNS))
        if " " in text and sum(letter.isalpha() for letter in text) >= 6:
            self._parts.add(tuple(part for part in parts if part.strip()))

    def _is_value(self, word: str, values: frozenset[str]) -> bool:
        bare = word.strip(_SIGNS)
        quoted = word.strip("(),;:.")
        return (
            not any(letter.islower() for letter in bare)
            or any(letter.isdigit() or letter in "…/.@=*_" for letter in bare)
            or (quoted.startswith("`") and quoted.endswith("`"))
            or bare in values
            or bare in self._words
            or bare.removesuffix("s") in self._words
        )


def _fixed_parts(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else ()
    assert isinstance(node, ast.JoinedStr)
    return tuple(part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _pattern(parts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(".*?".join(f"({re.escape(part)})" for part in parts))
