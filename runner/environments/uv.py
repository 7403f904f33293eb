"""uv, which resolves, downloads and installs: how to call it, how to read its complaints."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runner.errors import EnvError
from runner.model.event import Progress
from runner.redaction import without_credentials
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.ports import Reporter
    from runner.system.process import Completed

LEAKS = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"})
"""Variables that would make builds depend on who calls."""
OURS = {
    "UV_NO_PROGRESS": "1",
    "UV_PREVIEW_FEATURES": "pylock",
    "NO_COLOR": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONNOUSERSITE": "1",
}
OVERRIDDEN = ("UV_PROJECT", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_PROJECT_ENVIRONMENT",
              "UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_REQUIRE_HASHES", "UV_CONSTRAINT", "UV_OVERRIDE",
              "UV_FROZEN", "UV_LOCKED", "UV_TARGET", "UV_PREFIX", "UV_EXCLUDE_NEWER")  # fmt: skip
"""uv's own variables that we decide ourselves with options."""
PIP_WORDS = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
}
"""pip's variables that say where packages come from, and uv's names for them."""
INDEX_WORDS = frozenset({"UV_INDEX_URL", "UV_INDEX", *PIP_WORDS.values()})
TRUE = frozenset({"1", "true", "yes", "on"})
RESOLVING = frozenset({"pip", "lock", "export"})
"""Subcommands of uv that know ``--no-index``."""
SETTABLE = {
    "--index-url": "UV_DEFAULT_INDEX",
    "--extra-index-url": "UV_EXTRA_INDEX_URL",
    "--find-links": "UV_FIND_LINKS",
}
NETWORK = ("error sending request", "dns error", "tcp connect error", "Failed to fetch",
           "timed out", "etwork connectivity is disabled")  # fmt: skip
TAMPERED = (
    "the package changed after it was locked, or somebody tampers; "
    "'runproj lock --upgrade' makes a new lock"
)
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`)>]+")
LOUD = re.compile(r"^\s*(error|cause|warning|hint):\s*")
TAIL = 12
"""How many lines of a failed build are shown."""


class Uv:
    """uv as it is installed, called with the caller's index and cache settings."""

    def __init__(self, *, environ: Mapping[str, str], reporter: Reporter | None = None) -> None:
        self.reporter = reporter
        self._variables = variables(environ)
        own = INDEX_WORDS & environ.keys()
        self._no_index = not own and environ.get("PIP_NO_INDEX", "").lower() in TRUE
        self._program = ""

    @property
    def program(self) -> str:
        """The real path of the binary: pyenv's shims would cost 50 ms a call.

        Raises:
            EnvError: There is no uv.
        """
        self._program = self._program or _found(self._variables)
        return self._program

    def attempt(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        directory: str = "/",
        keep: Sequence[int] = (),
        told: bool = True,
    ) -> Completed:
        """Run uv to its end, whatever comes of it.

        ``options`` are index options; those with URLs become variables, which other users of the
        machine cannot see. ``told`` hands uv's words on to the reporter.
        """
        settings, rest = _index_variables(options, self._variables)
        if self._no_index and arguments[0] in RESOLVING and "--no-index" not in rest:
            rest.append("--no-index")
        return run(
            [self.program, *arguments, *rest],
            variables={**self._variables, **settings},
            directory=directory,
            on_line=self._tell if told else None,
            keep=keep,
        )

    def _tell(self, line: str) -> None:
        if self.reporter and line.strip():
            self.reporter.report(Progress(line=clean(line)))

    @staticmethod
    def reason(done: Completed) -> str:
        """Return uv's complaint in one line."""
        return sentence(done.complaint)


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for uv: the caller's, without those that change what is made.

    Where no index is configured for uv, pip's variables are translated.
    """
    kept = {k: v for k, v in environ.items() if k not in LEAKS and k not in OVERRIDDEN}
    kept.setdefault("PATH", os.defpath)
    if not INDEX_WORDS & kept.keys():
        for theirs, ours in PIP_WORDS.items():
            if value := kept.get(theirs):
                comma = theirs == "PIP_FIND_LINKS"
                kept[ours] = ",".join(value.split()) if comma else value
    return {**kept, **OURS}


def _index_variables(
    options: Sequence[str], given: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Turn index options into variables for uv; return these, and the options that are left."""
    words: dict[str, list[str]] = {name: [] for name in SETTABLE.values()}
    rest, waiting = [], list(options)
    while waiting:
        name = waiting.pop(0)
        if name in SETTABLE:
            words[SETTABLE[name]].append(waiting.pop(0))
        else:
            rest.append(name)
    found = {"UV_DEFAULT_INDEX": words["UV_DEFAULT_INDEX"][-1]} if words["UV_DEFAULT_INDEX"] else {}
    for name, separator in (("UV_EXTRA_INDEX_URL", " "), ("UV_FIND_LINKS", ",")):
        if words[name]:
            before = [given[name]] if given.get(name) else []
            found[name] = separator.join([*words[name], *before])
    return found, rest


def _found(environ: Mapping[str, str]) -> str:
    try:
        import uv

        return os.path.realpath(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    for folder in environ["PATH"].split(os.pathsep):
        candidate = os.path.realpath(os.path.join(folder or ".", "uv"))
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            with open(candidate, "rb") as file:
                if file.read(2) != b"#!":
                    return candidate
    raise EnvError("the program 'uv' is not installed", hint="pip install uv")


def clean(text: str) -> str:
    """Take credentials out of every URL in a text."""
    return URL.sub(lambda found: without_credentials(found[0]), text)


def sentence(complaint: str) -> str:
    """Return what a complaint of uv says, in one line."""
    lines = [clean(line).rstrip() for line in complaint.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("error:")), None)
    if start is None:
        return lines[-1].strip() if lines else "it said nothing"
    words = LOUD.sub("", lines[start])
    causes = []
    for line in lines[start + 1 :]:
        if line.startswith("hint:"):
            break
        causes.append(LOUD.sub("", line).strip())
    if words.startswith("No solution found") and causes:
        return " ".join(causes).split(", we can conclude that", 1)[0].removesuffix(".")
    short = [cause for cause in causes if cause][:6]
    return ": ".join([words, *short[:1]]) if not words.endswith(":") else " ".join([words, *short])


def failure(done: Completed, doing: str, *, where: str | None = None) -> EnvError:
    """Turn a failed call into an error that says what to do."""
    text = clean(done.complaint)
    what, hint = sentence(text), _advice(text)
    if done.exit_code < 0:
        what = f"uv was ended by signal {-done.exit_code}"
    elif "Hash mismatch" in text:
        what, hint = _mismatch(text), TAMPERED
    elif "No space left" in text or "os error 28" in text:
        what, hint = "the disk is full", "'runproj env prune' frees space"
    elif "Failed to build" in text or "build backend" in text.lower():
        hint = _tail(text)
    elif any(word in text for word in NETWORK) and "Status" not in text:
        what = f"the package index cannot be reached ({_address(text)})"
        hint = "check the network and the index settings (UV_DEFAULT_INDEX, UV_INDEX)"
    return EnvError(f"{doing}: {what}", where=where, hint=hint)


def _mismatch(text: str) -> str:
    found = re.search(r"Hash mismatch for `([^`]+)`", text)
    hashes = re.findall(r"sha256:[0-9a-f]{12}", text)
    name = found[1].partition(" @ ")[0] if found else "a package"
    said = f" (locked {hashes[0]}…, found {hashes[-1]}…)" if len(hashes) > 1 else ""
    return f"{name!r} does not have the locked hash{said}"


def _address(text: str) -> str:
    found = URL.search(text)
    return found[0].rstrip(".:,") if found else "offline"


def _advice(text: str) -> str | None:
    found = re.search(r"^hint: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "the build's last words:\n    " + "\n    ".join(lines[-TAIL:])
