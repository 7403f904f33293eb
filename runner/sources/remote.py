"""Git repositories by name: which are taken, which are refused, and what they hold."""

from __future__ import annotations

import os

from runner.errors import SourceError
from runner.hashing import sha256
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.sources.folder import local_path
from runner.system.git import Git, is_bare, reason, repository_root, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.system.process import Completed

SCHEMES = ("https", "http", "ssh", "git", "file")
EXAMPLE = (
    "name an existing directory, an archive, or a git URL such as "
    "https://example.org/user/project.git"
)
"""The hint for locations that are none."""
SHORTEST = 4
"""The fewest hexadecimal digits that git takes for an abbreviated commit."""
FULL = (40, 64)
"""The lengths of whole commit ids: SHA-1 and SHA-256."""
LISTED = 6
"""How many names a hint lists."""

PATIENCE = (("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", "60"))
"""A server that sends nothing for a minute is given up (git-config(1))."""

_HELPER = (
    '!f() { test "$1" = get && '
    'printf "username=%s\\npassword=%s\\n" "$RUNPROJ_GIT_USERNAME" "$RUNPROJ_GIT_PASSWORD"; }; f'
)
"""A credential helper (gitcredentials(7)) that answers from variables, so that no argument list,
file or other helper gets to see the password."""


class Remote(Value):
    """A repository that can be asked.

    ``url`` is what git is given, without a password; ``shown`` what people are shown. ``path`` is
    the local directory of a local one, ``inside`` the folder in it that was named. ``secrets`` are
    the user name and password, as they are and as the URL writes them.
    """

    url: str
    shown: str
    path: str | None = None
    inside: str = ""
    username: str = ""
    password: str = ""
    secrets: tuple[str, ...] = ()


class Resolved(Value):
    """A revision that is known to be there: its commit, and the branch it names, if it names one.

    ``reference`` is the full name of the branch or tag, None for bare commits.
    """

    commit: str
    reference: str | None = None
    branch: str | None = None


def parsed_remote(location: str) -> Remote:
    """Find out which repository a location names.

    Raises:
        SourceError: None that may be used.
    """
    shown = without_credentials(location)
    if any(ord(character) < ord(" ") or character == "\x7f" for character in location):
        raise SourceError(f"{shown!r} is no project: it holds control characters", hint=EXAMPLE)
    if location.startswith("-"):
        raise SourceError(f"{shown!r} is no project: it looks like an option", hint=EXAMPLE)
    head, colons, _ = location.partition("::")
    if colons and "/" not in head and "@" not in head and "[" not in head:
        raise SourceError(
            f"the transport of {shown!r} is not allowed",
            hint=f"the allowed ones are {', '.join(SCHEMES)}",
        )
    location = location.removeprefix("git+")
    scheme, separator, rest = location.partition("://")
    if separator and scheme.lower() != "file":
        return _from_url(scheme.lower().removesuffix("+git"), rest, shown)
    path = local_path(location)
    if path and os.path.isdir(path):
        return _from_directory(os.path.realpath(path), shown)
    host, colon, _ = location.partition(":")
    if colon and host and "/" not in host and not separator and host.lower() != "file":
        return _from_scp(location, host)
    raise SourceError(
        f"there is no project at {shown!r}",
        hint=EXAMPLE,
    )


def _from_url(scheme: str, rest: str, shown: str) -> Remote:
    if scheme not in SCHEMES:
        raise SourceError(
            f"the transport of {shown!r} is not allowed",
            hint=f"the allowed ones are {', '.join(SCHEMES)}",
        )
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    user, _, host = authority.rpartition("@")
    name, _, password = user.partition(":")
    if not host or host.startswith("-") or name.startswith("-"):
        raise SourceError(f"{shown!r} names no host", hint=EXAMPLE)
    if scheme == "ssh":
        address = f"{name}@{host}" if name else host
        return Remote(url=f"ssh://{address}{tail}", shown=shown, secrets=_spellings(password))
    url = f"{scheme}://{host}{tail}"
    if not user:
        return Remote(url=url, shown=shown)
    plain = [_unquoted(part) for part in (name, password)]
    if any(ord(character) < ord(" ") for part in plain for character in part):
        raise SourceError(f"the credentials in {shown!r} hold control characters")
    secrets = (*_spellings(password), user) if password else _spellings(name)
    return Remote(url=url, shown=shown, username=plain[0], password=plain[1], secrets=secrets)


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _spellings(secret: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in (secret, _unquoted(secret)) if text))


def _from_directory(path: str, shown: str) -> Remote:
    root = path if is_bare(path) else repository_root(path)
    if root is None:
        raise SourceError(f"{shown!r} is no git repository")
    inside = os.path.relpath(path, root) if path != root else ""
    return Remote(url=f"file://{_quoted(root)}", shown=root, path=root, inside=inside)


def _quoted(path: str) -> str:
    """Write a path for a URL as git reads it: only the percent sign means something else."""
    return path.replace("%", "%25")


def _from_scp(location: str, host: str) -> Remote:
    user, _, name = host.rpartition("@")
    if name.startswith("-") or user.startswith("-") or not name:
        raise SourceError(f"{location!r} names no host", hint=EXAMPLE)
    shown = f"{user.partition(':')[0]}@{name}{location[len(host) :]}" if user else location
    return Remote(url=shown, shown=shown)


def key(remote: Remote) -> str:
    """Return the name under which everything of a remote is kept."""
    return sha256(os.fsencode(remote.url)).hexdigest()[:32]


def asking(remote: Remote, directory: str, environ: Mapping[str, str]) -> Git:
    """Return git, equipped to talk to a remote."""
    interactive = os.isatty(0) and os.isatty(2)
    config = list(PATIENCE)
    if remote.username or remote.password:
        scheme, _, rest = remote.url.partition("://")
        origin = f"{scheme}://{rest.partition('/')[0]}"
        config += [(f"credential.{origin}.helper", ""), (f"credential.{origin}.helper", _HELPER)]
    result = variables(
        environ, config=config, local=remote.path is not None, interactive=interactive
    )
    if remote.username or remote.password:
        result["RUNPROJ_GIT_USERNAME"] = remote.username
        result["RUNPROJ_GIT_PASSWORD"] = remote.password
    if not interactive and _is_ssh(remote.url) and not {"GIT_SSH", "GIT_SSH_COMMAND"} & {*result}:
        git = Git(directory="/", variables=result)  # ours may not be there yet
        command = git.capture("config", "--get", "core.sshCommand").text.strip()
        if not command:
            result["GIT_SSH_COMMAND"] = "ssh -oBatchMode=yes -oConnectTimeout=60"
    return Git(directory=directory, variables=result)


def _is_ssh(url: str) -> bool:
    return url.startswith("ssh://") or "://" not in url


def resolved(remote: Remote, revision: str | None, git: Git) -> Resolved | None:
    """Ask a remote for a branch, a tag or its default branch, with one ``git ls-remote``.

    A name that is both a branch and a tag means the branch, as in ``git switch``. None when the
    remote has no such name.

    Raises:
        SourceError: The remote cannot be asked, or holds no commit yet.
    """
    if revision is None or revision == "HEAD":
        return _default(remote, git)
    names = _candidates(revision, local=remote.path is not None)
    patterns = [pattern for name in names for pattern in (name, f"{name}^{{}}")]
    listed = _listing(remote, git.capture("ls-remote", "--", remote.url, *patterns))
    for name in names:
        if name in listed:
            branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
            commit = listed.get(f"{name}^{{}}", listed[name])
            return Resolved(commit=commit, reference=name, branch=branch)
    return None


def _candidates(revision: str, *, local: bool) -> tuple[str, ...]:
    if revision.startswith("refs/"):
        return (revision,)
    names = (f"refs/heads/{revision}", f"refs/tags/{revision}")
    return (*names, f"refs/remotes/{revision}") if local else names


def _default(remote: Remote, git: Git) -> Resolved:
    completed = git.capture("ls-remote", "--symref", "--", remote.url, "HEAD")
    listed = _listing(remote, completed)
    if "HEAD" not in listed:
        raise SourceError(
            f"{remote.shown} has no default branch to run, or no commit yet",
            hint="name a branch, a tag or a commit with -v",
        )
    for line in completed.text.splitlines():
        target, _, name = line.partition("\t")
        if name == "HEAD" and target.startswith("ref: refs/heads/"):
            full = target.removeprefix("ref: ")
            branch = full.removeprefix("refs/heads/")
            return Resolved(commit=listed["HEAD"], reference=full, branch=branch)
    return Resolved(commit=listed["HEAD"], reference="HEAD")


def _listing(remote: Remote, completed: Completed) -> dict[str, str]:
    """Read names and object ids from ``ls-remote``."""
    if completed.exit_code:
        raise unreachable(remote, completed)
    pairs = (line.partition("\t") for line in completed.text.splitlines())
    return {name: identity for identity, _, name in pairs if not identity.startswith("ref: ")}


OFFLINE = (
    "resolve host",
    "unable to connect",
    "failed to connect",
    "refused",
    "timed out",
    "unreachable",
    "too slow",
)
"""What git and curl say, in small letters, when nobody answers."""


def unreachable(remote: Remote, completed: Completed) -> SourceError:
    """Say why a remote could not be asked, and what to do."""
    words = completed.complaint.lower()
    hint = "check the URL, and that git itself can reach it: git ls-remote URL"
    if "dubious ownership" in words:
        hint = "the repository belongs to another user; git config safe.directory can allow it"
    elif any(sign in words for sign in ("authentication", "could not read", "permission denied")):
        hint = "set up a git credential helper or an ssh key for this host"
    elif any(sign in words for sign in OFFLINE):
        hint = "a full commit id (-v) that ran before runs again without the network"
    elif "host key" in words:
        hint = "connect once with ssh to accept the host's key"
    return SourceError(
        f"git cannot read {remote.shown}: {reason(completed, remote.secrets)}", hint=hint
    )


def checked_revision(revision: str) -> str:
    """Return a revision that can be given to git (git-check-ref-format(1)).

    Raises:
        SourceError: It cannot be the name of a branch, a tag or a commit.
    """
    odd = any(character in " ~^:?*[\\\x7f" or character < " " for character in revision)
    dots = ".." in revision or "@{" in revision or "//" in revision
    ends = revision.startswith(("-", "/", ".")) or revision.endswith(("/", ".", ".lock"))
    if not revision or odd or dots or ends:
        raise SourceError(
            f"{revision!r} is no name of a branch, a tag or a commit",
            hint="expressions such as HEAD~1 are not supported; name the commit itself",
        )
    return revision


def is_commit(revision: str, *, full: bool) -> bool:
    """Whether a revision may be the id of a commit, whole or abbreviated."""
    length = len(revision) in FULL if full else SHORTEST <= len(revision) < max(FULL)
    return length and all(digit in "0123456789abcdefABCDEF" for digit in revision)


def unknown(remote: Remote, revision: str, git: Git) -> SourceError:
    """Say that a remote has no such revision, and what it has that looks like it."""
    from difflib import get_close_matches

    listed = _listing(remote, git.capture("ls-remote", "--heads", "--tags", "--", remote.url))
    names = {name.removesuffix("^{}").split("/", 2)[-1] for name in listed}
    near = get_close_matches(revision, sorted(names), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else None
    if hint is None and names:
        hint = f"it has {', '.join(sorted(names)[:LISTED])}{', ...' if len(names) > LISTED else ''}"
    return SourceError(
        f"Unable to checkout version {revision!r}: {remote.shown} has no such branch, tag or "
        "commit",
        hint=hint,
    )
