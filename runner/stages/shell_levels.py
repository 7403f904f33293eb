"""The levels of a shell's syntax, and what each needs to remember while it is read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.stages.shell import Scanner

NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
BLANK = frozenset(" \t\n")
META = frozenset(" \t\n;&|()<>")

BARE, SINGLE, DOUBLE, ANSI, COMMENT = "bare", "single", "double", "ansi", "comment"
ARITHMETIC, BRACE, BACKQUOTE = "arithmetic", "brace", "backquote"
DELIMITER, HERE = "delimiter", "here"

LEADING = frozenset(("then", "do", "else", "elif", "if", "while", "until", "!", "{", "("))
"""Words after which a new command begins."""
SHELLS = frozenset(("sh", "bash", "dash", "ksh", "zsh"))


class Word:
    """A bare word: its offsets in the script, and its text with quoted parts masked by NUL."""

    __slots__ = ("end", "start", "text")

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.text = ""


class Frame:
    """One level of syntax: its kind, and what that kind needs to remember.

    ``text`` is what opened a bare level (``(``, ``$(``), what an arithmetic one ends with, the
    inside of a brace so far, the delimiter of a here-document. ``inner`` reads the script that
    a level holds for another shell: between backquotes, or quoted after ``sh -c``.
    """

    __slots__ = (
        "angles",
        "case",
        "depth",
        "expands",
        "fresh",
        "inner",
        "kind",
        "line",
        "quote",
        "tabs",
        "text",
        "touched",
        "word",
        "words",
    )

    def __init__(self, kind: str, text: str = "", inner: Scanner | None = None) -> None:
        self.kind = kind
        self.text = text
        self.inner = inner
        self.word: Word | None = None
        self.words: list[Word] = []
        self.fresh = True
        self.angles = self.case = self.depth = 0
        self.quote = self.line = ""
        self.expands = True
        self.tabs = self.touched = False

    def begin_word(self, at: int) -> Word:
        """Return the word under way; a new one where there was none."""
        if self.word is None:
            self.word = Word(at)
        return self.word

    def end_word(self, at: int) -> None:
        """Close the word under way, if any, and heed reserved words."""
        word, self.word = self.word, None
        if word is None:
            return
        word.end = at
        leads = not self.words
        self.words.append(word)
        if leads and word.text == "case":
            self.case += 1
        elif leads and word.text == "esac" and self.case:
            self.case -= 1
        elif leads and word.text in LEADING:
            self.words.clear()

    def holds_script(self) -> bool:
        """Whether the word that begins now is a script for another shell (``bash -c``, ``eval``).

        Such a text is read twice, by this shell and by that one.
        """
        texts = [word.text for word in self.words]
        if not texts:
            return False
        if texts[-1].startswith("-"):
            names = {text.rpartition("/")[2] for text in texts[:-1]}
            return texts[-1].endswith("c") and not SHELLS.isdisjoint(names)
        return texts == ["eval"]
