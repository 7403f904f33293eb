"""``runproj completion``: scripts for bash, zsh and fish, made from the parsers themselves."""

from __future__ import annotations

import importlib

from runner.cli.main import COMMANDS, action_module, full_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable
    from typing import Any

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell it is for")
    parser.epilog = """put it to work:
  bash   eval "$(runproj completion bash)"          in ~/.bashrc
  zsh    eval "$(runproj completion zsh)"           in ~/.zshrc
  fish   runproj completion fish | source           in ~/.config/fish/config.fish"""


def call(options: Namespace, console: Console) -> int:
    """Print the script."""
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell]
    flags: dict[str, dict[str, str]] = {}
    for name in COMMANDS:
        module = importlib.import_module(f"runner.cli.commands.{name}")
        if hasattr(module, "__path__"):  # a group
            default = action_module(name, module.DEFAULT)
            actions = {action: _quotable(text) for action, text in module.ACTIONS.items()}
            flags[name] = {**actions, **_flags(name, default)}
            for action in module.ACTIONS:
                flags[f"{name} {action}"] = _flags(name, action_module(name, action))
        else:
            flags[name] = _flags(name, module)
    console.say(write(flags))
    return 0


def _flags(name: str, module: Any) -> dict[str, str]:  # noqa: ANN401 - modules have no types
    """Return a command's words to complete: options and choices, each with its help."""
    parser = full_parser(name, COMMANDS[name.partition(" ")[0]], module)
    found: dict[str, str] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        text = _quotable((action.help or "").replace("%%", "%"))
        found.update(dict.fromkeys(action.option_strings, text))
        if not action.option_strings and action.choices:
            found.update(dict.fromkeys(map(str, action.choices), ""))
    return found


def _quotable(text: str) -> str:
    """Return a help text that can stand between apostrophes."""
    return text.replace("'", "’")  # noqa: RUF001 - that is the point


def _bash(flags: dict[str, dict[str, str]]) -> str:
    def case(pattern: str, words: Iterable[str]) -> str:
        return f"    {pattern}) words='{' '.join(words)}' ;;"

    cases = [case("1:*", (name for name in flags if " " not in name))]
    cases += [case(f"2:'{name} '*", found) for name, found in flags.items() if " " not in name]
    cases += [case(f"*:'{name} '*", found) for name, found in flags.items() if " " in name]
    cases += [case(f"*:'{name} '*", found) for name, found in flags.items() if " " not in name]
    lines = "\n".join(cases)
    return f"""_runproj() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words=''
  case "$COMP_CWORD:${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}} " in
{lines}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _runproj runproj"""


def _zsh(flags: dict[str, dict[str, str]]) -> str:
    def case(pattern: str, found: dict[str, str]) -> str:
        return f"    {pattern}) words_=({' '.join(_zsh_word(k, v) for k, v in found.items())}) ;;"

    cases = [case("2:*", COMMANDS)]
    cases += [case(f"3:'{name} '*", found) for name, found in flags.items() if " " not in name]
    cases += [case(f"*:'{name} '*", found) for name, found in flags.items() if " " in name]
    cases += [case(f"*:'{name} '*", found) for name, found in flags.items() if " " not in name]
    lines = "\n".join(cases)
    return f"""_runproj() {{
  local -a words_
  case "$CURRENT:$words[2] $words[3] " in
{lines}
  esac
  _describe word words_
  (( CURRENT > 2 )) && _files
}}
compdef _runproj runproj"""


def _zsh_word(word: str, text: str) -> str:
    return f"'{word}:{text.replace(':', ' ')}'" if text else f"'{word}'"


def _fish(flags: dict[str, dict[str, str]]) -> str:
    lines = [
        f"complete -c runproj -n __fish_use_subcommand -f -a {name} -d '{COMMANDS[name]}'"
        for name in flags
        if " " not in name
    ]
    for name, found in flags.items():
        group, _, action = name.partition(" ")
        actions = [other.partition(" ")[2] for other in flags if other.startswith(f"{group} ")]
        seen = f"__fish_seen_subcommand_from {group}"
        if action:
            seen += f"; and __fish_seen_subcommand_from {action}"
        elif actions:
            seen += f"; and not __fish_seen_subcommand_from {' '.join(actions)}"
        for word, text in found.items():
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
            option = kind if word.startswith("-") else f"-a {word}"
            lines.append(f"complete -c runproj -n '{seen}' {option} -d '{text}'")
    return "\n".join(lines)
