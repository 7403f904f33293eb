"""Call the command line and write down what it imported and what it started.

python probe.py REPORT ARGUMENT...
"""

from __future__ import annotations

import sys

INTERPRETER = frozenset(sys.modules)
STARTS = ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen")
started: list[list[str]] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note each start of a process; see the table of audit events in Python's documentation."""
    if event in STARTS:
        argv = arguments[1] if len(arguments) > 1 else ()
        words = argv if isinstance(argv, list | tuple) else (argv,)
        started.append([event, *(str(word) for word in words)])


def main() -> int:
    """Call, report, and return the exit code."""
    sys.addaudithook(watch)
    from runner.cli.main import main as runproj

    code = runproj(sys.argv[2:])
    imported = sorted(set(sys.modules) - INTERPRETER - {"__mp_main__"})
    calls = list(started)

    import json

    with open(sys.argv[1], "w") as report:
        json.dump({"imported": imported, "started": calls}, report)
    return code


if __name__ == "__main__":
    sys.exit(main())
