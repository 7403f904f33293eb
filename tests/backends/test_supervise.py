"""The supervisor's pieces, and the supervisor as a program."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.backends import supervise
from runner.backends.supervise import MASK, Masker, encoded, marked, parsed

if TYPE_CHECKING:
    from pathlib import Path

SHORT = st.binary(max_size=6).map(lambda b: bytes(c % 3 + 97 for c in b))
"""Texts over three letters, so that secrets overlap, repeat and contain each other."""


@given(
    secrets=st.lists(SHORT, max_size=4),
    text=st.binary(max_size=60).map(lambda b: bytes(c % 3 + 97 for c in b)),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_masking_does_not_depend_on_how_the_stream_is_cut(
    secrets: list[bytes], text: bytes, cuts: list[int]
) -> None:
    wanted = sorted({s for s in secrets if s}, key=len, reverse=True)
    pattern = b"|".join(map(re.escape, wanted))
    expected = re.sub(pattern, lambda _: MASK, text) if wanted else text
    masker = Masker(secrets)
    places = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert b"".join([*(masker.feed(p) for p in pieces), masker.flush()]) == expected


def test_masking_holds_back_no_more_than_the_start_of_a_secret() -> None:
    masker = Masker([b"swordfish"])
    assert masker.feed(b"Password: ") == b"Password: "
    assert masker.feed(b"sword") == b""
    assert masker.feed(b"s") == b"sword"
    assert masker.flush() == b"s"


def test_masking_a_large_secret_in_a_large_stream_takes_no_time() -> None:
    secret, stream = os.urandom(50_000), os.urandom(2_000_000)
    masker = Masker([secret])
    began = time.process_time()
    pieces = [masker.feed(stream[at : at + 65536]) for at in range(0, len(stream), 65536)]
    assert b"".join([*pieces, masker.flush()]) == stream
    assert time.process_time() - began < 1.5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters()),
        lambda inner: st.dictionaries(st.text(), inner),
    )
)  # fmt: skip
def test_documents_are_json(value: object) -> None:
    assert json.loads(encoded(value)) == value


@pytest.mark.parametrize(
    ("environ", "jobs"),
    [
        (b"", ()),
        (b"A=1\0RUNPROJ_JOB=a\0B=2\0", (b"a",)),
        (b"RUNPROJ_JOB=a:b", (b"a", b"b")),
        (b"XRUNPROJ_JOB=a\0", ()),
        (b"X=RUNPROJ_JOB=a\0", ()),
        (b"RUNPROJ_JOBS=a\0RUNPROJ_JOB=b\0", (b"b",)),
    ],
)
def test_markers_are_read_from_environment_blocks(environ: bytes, jobs: tuple[bytes, ...]) -> None:
    assert marked(environ) == jobs


def test_processes_without_proc_come_from_ps() -> None:
    listed = {p.pid: p for p in supervise._listed_by_ps()}
    assert listed[os.getpid()].parent == os.getppid()
    assert listed[os.getpid()].group == os.getpgid(0)


def test_a_process_is_told_from_another_with_its_number() -> None:
    me = supervise.identity(os.getpid())
    assert me == supervise.identity(os.getpid())
    child = subprocess.Popen(["sleep", "60"])
    assert supervise.identity(child.pid) not in {"", me}
    child.kill()
    child.wait()
    assert supervise.identity(child.pid) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--folder", "x", "--", "true"],
        ["--folder", "x", "--stdout", "o", "--stderr", "e", "--"],
        ["--folder", "x", "--stdout", "o", "--stderr", "e", "--nonsense", "1", "--", "true"],
        ["--folder", "x", "--stdout", "o", "--stderr", "e", "--timeout", "soon", "--", "true"],
        ["--folder", "x", "--stdout", "o", "--stderr", "--", "true"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(arguments)


class Alone:
    """The supervisor as it travels: one file, another interpreter, nothing of ours around."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "copied.py"
        shutil.copyfile(supervise.__file__, self.program)

    def argv(self, *command: str, **options: object) -> list[str]:
        flags = {
            "folder": self.folder / "job",
            "stdout": self.folder / "out.log",
            "stderr": self.folder / "err.log",
            **options,
        }
        given = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-I", "-S", str(self.program), *given, "--", *command]

    def outcome(self) -> dict[str, object]:
        found = json.loads((self.folder / "job" / "outcome.json").read_bytes())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    return Alone(tmp_path)


def test_the_file_alone_runs_a_command(alone: Alone) -> None:
    argv = alone.argv("bash", "-c", 'cat; echo "$RUNPROJ_JOB" >&2; exit 7', job="j1")
    done = subprocess.run(argv, input=b"in\0put", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\0put", b"j1\n")
    assert (alone.folder / "out.log").read_bytes() == b"in\0put"
    assert (alone.folder / "err.log").read_bytes() == b"j1\n"
    outcome = alone.outcome()
    assert (outcome["status"], outcome["reason"], outcome["exit_code"]) == ("FAILED", "exit", 7)


def test_the_file_alone_says_what_is_wrong_with_its_arguments(alone: Alone) -> None:
    argv = [sys.executable, "-I", "-S", str(alone.program), "--folder", "x", "--", "true"]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"missing options: stderr, stdout" in done.stderr


def test_a_signal_to_the_supervisor_is_the_commands(alone: Alone) -> None:
    argv = alone.argv(
        "bash", "-c", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep .01; done"
    )
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == b"asked\n"
        assert child.wait(60) == 3
    outcome = alone.outcome()
    assert (outcome["status"], outcome["reason"], outcome["exit_code"]) == (
        "KILLED",
        "cancelled",
        3,
    )
    assert outcome["detail"] == "cancelled by SIGTERM"


def test_ignored_signals_stay_ignored(alone: Alone) -> None:
    """As ``nohup`` has it: the command survives the terminal."""
    script = "echo ready; sleep .3; echo done"
    argv = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *alone.argv("bash", "-c", script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGHUP)
        assert child.stdout.readline() == b"done\n"
    assert child.returncode == 0
    assert alone.outcome()["status"] == "FINISHED"


def test_closed_standard_streams_are_no_trouble(alone: Alone) -> None:
    argv = alone.argv("bash", "-c", "cat; echo out; echo err >&2")
    quoted = " ".join(f"'{a}'" for a in argv)
    done = subprocess.run(["bash", "-c", f"{quoted} <&- >&- 2>&-"], check=False)
    assert done.returncode == 0
    assert (alone.folder / "out.log").read_bytes() == b"out\n"
    assert (alone.folder / "err.log").read_bytes() == b"err\n"


def test_a_fresh_interpreter_imports_little() -> None:
    """The supervisor of a threaded process costs an interpreter, and hardly more."""
    code = (
        f"import sys; __name__ = 'supervise'; exec(open({supervise.__file__!r}).read()); "
        "print(*sys.modules)"
    )
    argv = [sys.executable, "-I", "-S", "-c", code]
    loaded = set(subprocess.run(argv, capture_output=True, check=True).stdout.decode().split())
    assert not loaded & {"json", "re", "typing", "subprocess", "argparse", "threading", "socket"}


@given(
    variables=st.dictionaries(
        st.binary(min_size=1).filter(lambda b: b"\0" not in b and b"=" not in b),
        st.binary().filter(lambda b: b"\0" not in b),
    ),
    secrets=st.lists(st.binary().filter(lambda b: b"\0" not in b)),
    argv=st.lists(st.binary().filter(lambda b: b"\0" not in b)),
)
def test_what_is_confided_arrives(
    variables: dict[bytes, bytes], secrets: list[bytes], argv: list[bytes]
) -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as pipe:
        pipe.write(supervise.confided(variables, secrets, argv)[:60000])
    found = supervise._confided(reading)
    assert (found["variables"], found["secrets"]) == (variables, secrets)
    assert [os.fsencode(a) for a in found.get("argv", [])] == argv
