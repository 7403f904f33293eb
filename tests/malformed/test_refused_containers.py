"""Containers that make no sense, or that would reach beyond themselves; no engine is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.malformed.conftest import Refusal


class Case(NamedTuple):
    """The ``docker_env`` and the arguments, what the error has to name, its kind."""

    name: str
    docker: dict[str, Any]
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    kind: str


def spec(name: str, *names: str, **docker: Any) -> Case:
    return Case(name, docker, (), names, "spec")


def usage(name: str, *arguments: str, names: tuple[str, ...]) -> Case:
    return Case(name, {}, arguments, names, "usage")


CASES = (
    spec("a volume that is none", "nowhere", volumes=["nowhere"]),
    spec("a volume over everything", "hide the whole image", volumes=["./x:/"]),
    spec("a volume of the caller's keys", "--allow-host-access", volumes=["~/.ssh:/x"]),
    spec("a volume by variable", "NOBODY_SET_THIS", volumes=["${NOBODY_SET_THIS}:/x"]),
    spec("a volume that a shell would run", "$(touch pwned)", volumes=["./x:/x:$(touch pwned)"]),
    spec("gpus that are none", "gpus: many", gpus="many"),
    spec("the host's network", "--allow-host-access", network="host"),
    spec("a dockerfile elsewhere", "../Dockerfile", dockerfile="../Dockerfile"),
    spec("a dockerfile that a shell would run", "Dockerfile; id", dockerfile="Dockerfile; id"),
    spec("a context by link", "outside of the project", context="away"),
    spec("a platform with more", "platform", platform="linux/amd64; id"),
    spec("a placement that is none", "'live'", code="live"),
    Case("a variable that is unset", {"environment": ["NOBODY_SET_THIS"]}, (),
         ("NOBODY_SET_THIS",), "parameter"),
    Case("the engine's socket", {"volumes": ["/var/run/docker.sock:/s"]}, (),
         ("socket", "--allow-host-access"), "usage"),
    Case("everything", {"volumes": ["/:/host"]}, (), ("whole file system",), "usage"),
    usage("an unknown option", "-A", "memroy=1g", names=("memroy", "memory")),
    usage("an option with dashes", "-A=--gpus=all", names=("-A gpus",)),
    usage("an option that is not possible", "-A", "detach", names=("follows its runs",)),
    usage("a size that is none", "--memory", "lots", names=("lots", "512m")),
    usage("cpus that are none", "--cpus", "$(nproc)", names=("$(nproc)",)),
    usage("twice", "--memory", "1g", "-A", "memory=2g", names=("--memory",)),
    usage("twice by its short name", "-A", "m=1g", "-A", "memory=2g", names=("twice",)),
    usage("privileged", "-A", "privileged", names=("--allow-host-access", "privileged")),
    usage("a device", "-A", "device=/dev/sda", names=("--allow-host-access",)),
    usage("a folder that is relative", "-A", "w=here", names=("workdir",)),
    usage("read-only with a copy", "-A", "read-only", names=("code: mount",)),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_is_refused(refused: Refusal, case: Case) -> None:
    document = {
        "name": "p",
        "docker_env": {"image": "never-pulled:1", **case.docker},
        "entry_points": {"main": {"command": "true"}},
    }
    refused.write({"project/MLproject": json.dumps(document)})
    (refused.folder / "project" / "away").symlink_to("/usr")

    refused("run", "project", *case.arguments, kind=case.kind).names(*case.names)
