"""The two ways of filling an environment: uv, and virtualenv with pip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.environments import pylock
from runner.environments.uv import NETWORK, TAMPERED, clean, failure
from runner.errors import EnvError
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.building import Contents
    from runner.environments.uv import Uv
    from runner.system.process import Completed

GONE = ("client error (Status", "distribution cache", "No such file")
"""What uv says when a file is not where the lock says, though maybe the index has it elsewhere."""
SEEDABLE = "virtualenv cannot put pip into Python {0}"
PIP_NAMES = {"--default-index": "--index-url", "--allow-insecure-host": "--trusted-host"}
NOT_PIPS = frozenset({"--prerelease"})
PIP_STEERED = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV",
               "PIP_CONSTRAINT", "PIP_NO_DEPS", "PIP_REQUIREMENT", "PIP_PYTHON")  # fmt: skip
"""Variables of pip's that would put packages elsewhere, or other ones."""
UV_WORDS = {
    "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
    "UV_INDEX_URL": "PIP_INDEX_URL",
    "UV_EXTRA_INDEX_URL": "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS": "PIP_FIND_LINKS",
}


class UvInstaller:
    """``uv venv`` and ``uv pip``: packages are linked from uv's cache."""

    def __init__(
        self, uv: Uv, *, environ: Mapping[str, str], home: str, keep: Sequence[int]
    ) -> None:
        self._uv, self._keep = uv, keep
        self._environ, self._home = environ, home

    def install(self, contents: Contents, folder: str) -> None:
        """Make the environment and put everything in; ``folder`` is for our own files."""
        self._make(contents)
        python = os.path.join(contents.prefix, "bin", "python")
        steered = _steered(contents)
        if contents.indexed:
            self._sync(contents, folder, ["--python", python, "--quiet", *steered])
        sources = [*_local_arguments(contents), *_versioned_arguments(contents)]
        if sources:
            done = self._uv.attempt(
                "pip", "install", "--python", python, "--quiet", "--no-deps", *steered,
                *sources, options=contents.options, keep=self._keep,
            )  # fmt: skip
            if done.exit_code:
                raise failure(done, "a local package cannot be installed")

    def _make(self, contents: Contents) -> None:
        path = contents.interpreter.path
        done = self._uv.attempt(
            "venv", "--no-project", "--quiet", "--no-python-downloads", "--python", path,
            contents.prefix, keep=self._keep,
        )  # fmt: skip
        if done.exit_code == 0:
            return
        plain = run(  # an interpreter that uv does not know: its own module can do it
            [path, "-I", "-m", "venv", "--without-pip", "--clear", contents.prefix],
            variables={"PATH": self._environ.get("PATH", os.defpath)},
            keep=self._keep,
        )
        if plain.exit_code:
            version = contents.interpreter.version
            raise failure(done, f"no environment can be made with Python {version}")

    def _sync(self, contents: Contents, folder: str, common: list[str]) -> None:
        """Install what has hashes, from uv's cache alone if it is all there."""
        lock = os.path.join(folder, "pylock.toml")
        _write(lock, pylock.render(_of_index(contents)))
        sync = ["pip", "sync", "--require-hashes", *common, lock]
        options, keep = contents.options, self._keep
        done = self._uv.attempt(*sync, "--offline", options=options, keep=keep, told=False)
        if done.exit_code:
            done = self._uv.attempt(*sync, options=options, keep=keep)
        if done.exit_code and _is_elsewhere(done):
            done = self._by_name(contents, folder, common, done)
        if done.exit_code:
            raise failure(done, "the environment cannot be built")

    def _by_name(
        self, contents: Contents, folder: str, common: list[str], first: Completed
    ) -> Completed:
        """Ask the configured index for the same files, known by their hashes: a mirror will do."""
        path = os.path.join(folder, "requirements.txt")
        _write(path, pylock.as_requirements(contents.indexed).encode())
        done = self._uv.attempt(
            "pip", "install", "--no-deps", "--require-hashes", *common, "-r", path,
            options=contents.options, keep=self._keep,
        )  # fmt: skip
        return done if done.exit_code == 0 or "Hash mismatch" in done.complaint else first


class PipInstaller:
    """The virtualenv library makes the environment, pip fills it."""

    def __init__(
        self, uv: Uv, *, environ: Mapping[str, str], home: str, keep: Sequence[int]
    ) -> None:
        self._keep, self._home = keep, home
        kept = {k: v for k, v in environ.items() if not k.startswith("PYTHON")}
        self._variables = {k: v for k, v in kept.items() if k not in PIP_STEERED}
        if not {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"} & kept.keys():
            for theirs, ours in UV_WORDS.items():
                if value := kept.get(theirs):
                    self._variables[ours] = value.replace(",", " ")
        del uv  # locks only: what it locked, pip installs

    def install(self, contents: Contents, folder: str) -> None:
        """Make the environment and put everything in; ``folder`` is for our own files."""
        self._make(contents)
        path = os.path.join(folder, "requirements.txt")
        lines = _option_lines(contents.options) + pylock.as_requirements(contents.indexed)
        _write(path, lines.encode())
        if contents.indexed:
            self._pip(contents, "--no-deps", "--require-hashes", "--requirement", path)
        sources = [*_local_arguments(contents), *_versioned_arguments(contents)]
        if sources:
            _write(path, _option_lines(contents.options).encode())
            self._pip(contents, "--no-deps", "--requirement", path, *sources)

    def _make(self, contents: Contents) -> None:
        from virtualenv import cli_run

        arguments = [
            "--python", contents.interpreter.path, "--no-download", "--no-vcs-ignore",
            "--app-data", os.path.join(self._home, "virtualenv"), contents.prefix,
        ]  # fmt: skip
        version = contents.interpreter.version
        hint = "use --env-manager uv, which can"
        try:
            session = cli_run(arguments, setup_logging=False, env=self._variables)
        except (SystemExit, RuntimeError) as error:
            reason = clean(str(error)) if isinstance(error, RuntimeError) else "it found no way"
            raise EnvError(f"{SEEDABLE.format(version)}: {reason}", hint=hint) from None
        if session.interpreter.version_str != version:
            raise EnvError(
                f"virtualenv made an environment of another Python than {version}", hint=hint
            )

    def _pip(self, contents: Contents, *arguments: str) -> None:
        python = os.path.join(contents.prefix, "bin", "python")
        done = run(
            [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
             "--quiet", "--no-warn-script-location", *arguments],
            variables=self._variables, directory="/", keep=self._keep,
        )  # fmt: skip
        if done.exit_code:
            raise _pip_failure(done, contents)


def _pip_failure(done: Completed, contents: Contents) -> EnvError:
    """Turn pip's complaint into an error."""
    text = clean(done.complaint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    sentence = said[-1] if said else (lines[-1] if lines else "it said nothing")
    if "DO NOT MATCH THE HASHES" in text:
        name = next(
            (
                line.partition(" from ")[0]
                for line in lines
                if " from http" in line or " from file" in line
            ),
            "",
        )
        return EnvError(
            f"the environment cannot be built: {name or 'a package'} does not have the locked hash",
            hint=TAMPERED,
        )
    if "No module named pip" in text:
        return EnvError(SEEDABLE.format(contents.interpreter.version), hint="use --env-manager uv")
    return EnvError(
        f"the environment cannot be built: {sentence}",
        hint="\n    ".join(lines[-8:]) if len(lines) > 1 else None,
    )


def _is_elsewhere(done: Completed) -> bool:
    text = done.complaint
    return any(word in text for word in (*GONE, *NETWORK)) and "Hash mismatch" not in text


def _of_index(contents: Contents) -> pylock.Table:
    """Return the part of the lock that has hashes, for this Python."""
    names = {p.name for p in contents.indexed}
    rows = [
        row
        for row in contents.table.get("packages", [])
        if not {"directory", "vcs"} & row.keys() and pylock.canonical(row["name"]) in names
    ]
    head = {
        k: v for k, v in contents.table.items() if k not in {"packages", "tool", "requires-python"}
    }
    return {**head, "packages": rows}


def _steered(contents: Contents) -> list[str]:
    """Return the options for builds: build requirements as of the lock's date."""
    if contents.as_of is None:
        return []
    return ["--exclude-newer", contents.as_of.isoformat()]


def _local_arguments(contents: Contents) -> list[str]:
    arguments: list[str] = []
    for name, path in sorted(contents.local.items()):
        if name in contents.editable:
            arguments += ["--editable", path]
        else:
            arguments.append(f"{name} @ file://{quote(path)}")
    return arguments


def _versioned_arguments(contents: Contents) -> list[str]:
    found = []
    for package in contents.versioned:
        url = package.source if "://" in package.source else f"file://{package.source}"
        below = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
        found.append(f"{package.name} @ git+{url}@{package.commit}{below}")
    return found


def _option_lines(options: Sequence[str]) -> str:
    """Write index options as lines of a requirements file, where pip reads them unseen."""
    lines, rest = [], list(options)
    while rest:
        name = rest.pop(0)
        value = rest.pop(0) if name != "--no-index" else ""
        if name not in NOT_PIPS:
            lines.append(f"{PIP_NAMES.get(name, name)} {value}".strip() + "\n")
    return "".join(lines)


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
