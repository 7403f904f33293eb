"""The only place that starts tools; project commands are started by the supervisor."""

from __future__ import annotations

import os
import select

from runner.errors import RunprojError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from subprocess import Popen


class Completed(Value):
    """What a tool left behind: its exit code (negative: the signal that ended it) and output."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, bytes that are no UTF-8 kept as surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def complaint(self) -> str:
        """Standard error as text, without trailing white space."""
        return self.stderr.decode("utf-8", "replace").strip()


def capture(argv: Sequence[str], *, variables: Mapping[str, str]) -> Completed:
    """Run a tool to its end with no input and return what it wrote.

    Made for the warm path: a third of a millisecond, where ``subprocess`` costs nine to import.

    Raises:
        RunprojError: The tool is not there.
    """
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out_write, 1),
        (os.POSIX_SPAWN_DUP2, err_write, 2),
    ]
    try:
        child = os.posix_spawn(
            executable(argv[0], variables), list(argv), variables, file_actions=actions
        )
    except BaseException:
        os.close(out_read)
        os.close(err_read)
        raise
    finally:
        os.close(out_write)
        os.close(err_write)
    stdout, stderr = _drained(out_read, err_read)
    _, status = os.waitpid(child, 0)
    return Completed(exit_code=os.waitstatus_to_exitcode(status), stdout=stdout, stderr=stderr)


def _drained(*descriptors: int) -> tuple[bytes, ...]:
    """Read several pipes to their ends at once, and close them."""
    chunks: dict[int, list[bytes]] = {descriptor: [] for descriptor in descriptors}
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    remaining = len(descriptors)
    while remaining:
        for descriptor, _ in poller.poll():
            chunk = os.read(descriptor, 65536)
            chunks[descriptor].append(chunk)
            if not chunk:
                poller.unregister(descriptor)
                os.close(descriptor)
                remaining -= 1
    return tuple(b"".join(chunks[descriptor]) for descriptor in descriptors)


def executable(name: str, variables: Mapping[str, str]) -> str:
    """Find a program on the PATH of the given variables.

    Raises:
        RunprojError: There is none.
    """
    if "/" in name:
        return name
    for folder in variables.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    raise RunprojError(f"the program {name!r} is not on the PATH", hint=f"install {name}")


def run(  # noqa: PLR0913 - these are the things a process has
    argv: Sequence[str],
    *,
    variables: Mapping[str, str],
    directory: str | None = None,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
    keep: Sequence[int] = (),
) -> Completed:
    """Run a tool to its end, handing on each line of its standard error as it comes.

    A carriage return ends a line as well, so that progress is heard of while it is made.
    ``keep`` are file descriptors that the tool inherits (locks that must outlive us).

    Raises:
        RunprojError: The tool is not there, or takes longer than ``timeout`` seconds.
    """
    import subprocess

    program = [executable(argv[0], variables), *argv[1:]]
    with subprocess.Popen(
        program,
        cwd=directory,
        env=dict(variables),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(keep),
    ) as child:
        try:
            return _conversed(child, stdin or b"", on_line, timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            raise RunprojError(f"{argv[0]} took longer than {timeout:g} s") from None
        except BaseException:
            child.kill()
            raise


def _conversed(
    child: Popen[bytes],
    stdin: bytes,
    on_line: Callable[[str], None] | None,
    timeout: float | None,
) -> Completed:
    """Feed a tool and listen to it until it ends."""
    import threading

    output: list[bytes] = []
    complaints: list[bytes] = []

    def feed() -> None:
        try:
            with child.stdin or open(os.devnull, "wb") as pipe:
                pipe.write(stdin)
        except BrokenPipeError:
            return  # the tool did not want all of it: its exit code says whether that is bad

    def listen() -> None:
        if child.stderr:
            complaints.append(_heard(child.stderr.fileno(), on_line or (lambda _line: None)))

    def collect() -> None:
        output.append(child.stdout.read() if child.stdout else b"")

    threads = [threading.Thread(target=task, daemon=True) for task in (feed, listen, collect)]
    for thread in threads:
        thread.start()
    child.wait(timeout)
    for thread in threads:
        thread.join()
    return Completed(
        exit_code=child.returncode, stdout=b"".join(output), stderr=b"".join(complaints)
    )


def _heard(descriptor: int, on_line: Callable[[str], None]) -> bytes:
    """Read a pipe to its end, handing on each line that says something as it comes."""
    everything = []
    rest = b""
    while chunk := os.read(descriptor, 1 << 16):
        everything.append(chunk)
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in filter(bytes.strip, lines):
            on_line(line.decode("utf-8", "replace").rstrip())
    if rest.strip():
        on_line(rest.decode("utf-8", "replace").rstrip())
    return b"".join(everything)


def attended(argv: Sequence[str], *, variables: Mapping[str, str]) -> int:
    """Let a program have our terminal, an editor for one; return its exit code.

    Raises:
        OSError: It could not be started.
    """
    child = os.posix_spawnp(argv[0], [*argv], variables)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Companion:
    """A program beside us that is asked something once, and ends when we let go of it or are gone.

    Its standard input is a pipe that only we hold: at the end of it the program is to end.
    """

    def __init__(
        self, argv: Sequence[str], *, variables: Mapping[str, str], directory: str
    ) -> None:
        import subprocess
        import tempfile

        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``end``
        try:
            self._child = subprocess.Popen(
                list(argv),
                cwd=directory,
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,  # a Ctrl-C is for the command
            )
        except BaseException:
            self._complaints.close()
            raise

    def asked(self, request: bytes, *, timeout: float) -> bytes:
        """Send a line and return the first one of the answer; nothing when the program has ended.

        Raises:
            RunprojError: There was no answer within so many seconds.
        """
        assert self._child.stdin is not None  # noqa: S101 - we asked for pipes
        assert self._child.stdout is not None  # noqa: S101
        try:
            self._child.stdin.write(request)
            self._child.stdin.flush()
        except BrokenPipeError:
            return b""
        poller = select.poll()
        poller.register(self._child.stdout, select.POLLIN)
        if not poller.poll(timeout * 1000):
            raise RunprojError(f"{self._child.args!r} did not answer for {timeout:g} s")
        return self._child.stdout.readline()

    def complaint(self) -> str:
        """Return what the program wrote to standard error so far."""
        self._complaints.seek(0)
        return self._complaints.read().decode("utf-8", "replace").strip()

    def end(self) -> None:
        """Let the program end, and make it when it does not."""
        import subprocess

        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._complaints.close()
