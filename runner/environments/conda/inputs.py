"""What a conda lock is made of: specifications, channels, the ``pip:`` section, a date."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.codec import digest
from runner.documents.conda_packages import parsed_package
from runner.environments.conda.channels import public
from runner.environments.conda.platforms import KNOWN
from runner.environments.freshness import moment
from runner.environments.local_packages import metadata_files
from runner.redaction import without_credentials
from runner.system.files import file_digest

SUBDIRS = {"noarch", *KNOWN}

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import CondaSpec


def stamp(request: LockRequest) -> str | None:
    """Return the cut-off date of a request as locks have it."""
    return moment(request.as_of) if request.as_of else None


def package_name(spec: str) -> str:
    """Return the name in a match specification."""
    package = parsed_package(spec)
    return package.name if package else spec


def specs(spec: CondaSpec, asked: Requirements) -> list[str]:
    """Return what to solve for; where pip is to add something, Python is needed."""
    specs = [text.partition(" #")[0].strip() for text in spec.packages]
    if asked.lines and not any(package_name(text) == "python" for text in specs):
        specs.append("python")
    return specs


def channel_of(spec: str) -> str | None:
    """Return the channel that a match specification wants a package from: ``channel::name``.

    A platform after it (``conda-forge/noarch::name``) does not count.
    """
    channel, found, _ = spec.partition("::")
    if not found or "[" in channel:
        return None
    first, _, last = channel.rpartition("/")
    return first if first and last in SUBDIRS else channel


def texts(spec: CondaSpec, asked: Requirements) -> list[str]:
    """Return all that is asked for as written, free of credentials."""
    pip = [f"pip: {without_credentials(line.text)}" for line in asked.lines]
    channels = [f"channel {public(name)}" for name in spec.channels]
    return [*channels, *spec.packages, *pip]


def inputs_digest(spec: CondaSpec, asked: Requirements, project: str) -> str:
    """Return the digest of what a lock is made of, the same on every machine."""
    local: JSON = {
        os.path.relpath(line.local, project): {
            os.path.basename(p): file_digest(p) for p in metadata_files(line.local)
        }
        for line in asked.local_packages
        if line.local
    }
    document: JSON = {
        "requirements": [*texts(spec, asked)],
        "constraints": [line.text for line in asked.constraints],
        "local": local,
    }
    return digest(document).rpartition(":")[2]
