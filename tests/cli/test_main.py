from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli.main import COMMANDS, command_parser, main
from runner.version import __version__

ROOT = Path(__file__).parents[2]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["-V"]) == 0
    assert capsys.readouterr().out == f"runproj {__version__}\n" * 2


def test_help_lists_every_command_and_every_command_has_a_module(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == main(["--help"]) == main(["help"]) == 0
    told = capsys.readouterr().out
    commands = ROOT / "runner" / "cli" / "commands"
    groups = {path.parent.name for path in commands.glob("*/__init__.py")}
    assert {path.stem for path in commands.glob("*.py")} | groups == {*COMMANDS, "__init__"}
    for group in groups:
        actions = importlib.import_module(f"runner.cli.commands.{group}").ACTIONS
        assert {path.stem for path in (commands / group).glob("*.py")} == {*actions, "__init__"}
    for name, text in COMMANDS.items():
        assert f"  {name}" in told
        assert text in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_its_options(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([name, "--help"]) == 0
    told = capsys.readouterr()
    assert "usage: runproj " + name in told.out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == told.out
    assert command_parser(name).prog == f"runproj {name}"


def test_an_unknown_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rum"]) == 2
    told = capsys.readouterr().err
    assert "'rum'" in told
    assert "runproj run" in told


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", ".", "--no-such-thing"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error[usage]:")
    assert "--no-such-thing" in told


def test_options_may_stand_before_and_after_the_uri(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-P", "a=1", "nowhere", "-e", "main"]) != 0
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("validate", "entry-point", "tracking-uri"):
        assert word in script
    assert all(line.count("'") % 2 == 0 for line in script.splitlines())
    assert not re.search(r"\w'\w", script)  # an apostrophe in a text would end its quotes


def test_bash_completes(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    argv = [sys.executable, "-m", "runner", "completion", "bash"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    script.write_bytes(subprocess.run(argv, capture_output=True, check=True, env=environ).stdout)
    asked = """
source "$1"
complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _runproj; echo "${COMPREPLY[*]}"; }
complete_line runproj va
complete_line runproj run --entr
complete_line runproj env pru
complete_line runproj runs com
complete_line runproj runs list --ord
complete_line runproj runs compare --hi
"""
    done = subprocess.run(
        ["bash", "-c", asked, "bash", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        *("validate", "--entry-point", "prune"),
        *("compare", "--order-by", "--higher"),
    ]


def test_output_into_a_closed_pipe_is_no_traceback() -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$0" -m runner completion fish | true', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 141}
