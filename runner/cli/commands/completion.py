"""``runproj completion``: scripts for bash, zsh and fish, made from the parsers themselves."""

from __future__ import annotations

import importlib

from runner.cli.main import COMMANDS, command_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

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
    console.say(write({name: _flags(name) for name in COMMANDS}))
    return 0


def _flags(name: str) -> dict[str, str]:
    """Return a command's words to complete: options and subcommands, each with its help."""
    module = importlib.import_module(f"runner.cli.commands.{name}")
    parser = command_parser(name, helpful=not getattr(module, "OWN_HELP", False))
    module.arguments(parser)
    found: dict[str, str] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        text = (action.help or "").replace("'", "").replace("%%", "%")
        found.update(dict.fromkeys(action.option_strings, text))
        if not action.option_strings and action.choices:
            choices = action.choices
            helps = {a.dest: a.help or "" for a in getattr(action, "_choices_actions", ())}
            found.update({str(choice): helps.get(str(choice), "") for choice in choices})
    return found


def _bash(flags: dict[str, dict[str, str]]) -> str:
    cases = "\n".join(f"    {name}) words='{' '.join(f)}' ;;" for name, f in flags.items())
    return f"""_runproj() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words
  case ${{COMP_CWORD}}:${{COMP_WORDS[1]}} in
    1:*) words='{" ".join(flags)}' ;;
    *) case ${{COMP_WORDS[1]}} in
{cases}
    esac ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -F _runproj runproj"""


def _zsh(flags: dict[str, dict[str, str]]) -> str:
    cases = "\n".join(
        f"    {name}) words=({' '.join(_zsh_word(k, v) for k, v in f.items())}) ;;"
        for name, f in flags.items()
    )
    commands = " ".join(_zsh_word(name, text) for name, text in COMMANDS.items())
    return f"""_runproj() {{
  local -a words_
  local -a words=("${{words[@]}}")
  if (( CURRENT == 2 )); then
    words_=({commands})
    _describe command words_
    return
  fi
  case $words[2] in
{cases.replace("words=(", "words_=(")}
  esac
  _describe option words_
  _files
}}
compdef _runproj runproj"""


def _zsh_word(word: str, text: str) -> str:
    return f"'{word}:{text.replace(':', ' ')}'" if text else f"'{word}'"


def _fish(flags: dict[str, dict[str, str]]) -> str:
    lines = [
        f"complete -c runproj -n __fish_use_subcommand -f -a {name} -d '{COMMANDS[name]}'"
        for name in flags
    ]
    for name, found in flags.items():
        condition = f"-n '__fish_seen_subcommand_from {name}'"
        for word, text in found.items():
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
            option = kind if word.startswith("-") else f"-a {word}"
            lines.append(f"complete -c runproj {condition} {option} -d '{text}'")
    return "\n".join(lines)
