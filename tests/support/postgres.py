"""A real PostgreSQL server in a folder of its own, reached through a socket in that folder."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from typing import Any, Self

PASSWORD = "s3cr3t"


def programs() -> str | None:
    """Return the folder of ``initdb`` and ``pg_ctl``; None when PostgreSQL is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    beside = shutil.which("initdb")
    return str(Path(found[-1]).parent) if found else str(Path(beside).parent) if beside else None


class Postgres:
    """Starts on ``with``; the server refuses to be root, so root lends it another user."""

    def __init__(self) -> None:
        folder = programs()
        assert folder
        self._programs = folder

    def __enter__(self) -> Self:
        root = os.getuid() == 0
        self.folder = Path(tempfile.mkdtemp(prefix="runproj-pg-", dir="/var/tmp" if root else None))
        self._who: dict[str, Any] = {}
        if root:
            user = _lent_user()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._call("initdb", "-U", "ada", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -k {self.folder}"
        self._call(
            "pg_ctl", "-w", "-t", "120", "-l", str(self.folder / "log"), "-o", options, "start"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._call("pg_ctl", "-w", "-t", "120", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    @property
    def uri(self) -> str:
        host = quote(str(self.folder), safe="")
        return f"postgresql://ada:{PASSWORD}@/postgres?host={host}"

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            (f"{self._programs}/{program}", "-D", str(self.folder / "data"), *arguments),
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=(output := (self.folder / "output").open("ab")),
            stderr=subprocess.STDOUT,
            check=False,
            **self._who,
        )
        output.close()
        assert done.returncode == 0, (self.folder / "output").read_text()


def _lent_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    message = "there is neither a user postgres nor nobody"
    raise AssertionError(message)
