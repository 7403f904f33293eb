"""How a container is made from what the project and the caller ask for; what is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import ParameterError, RunprojError, SpecError, UsageError
from runner.model.plan import Container, Input, Invocation, Mount, RunRequest
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.spec import DockerSpec, EntryPoint, Place
from runner.model.value import Digest, EntryPointName
from runner.stages.contain import contained, warnings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Contain = Callable[..., Container]

ALLOWED = {"host_access": True}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    (made / "data").mkdir(parents=True)
    return made


@pytest.fixture
def contain(project: Path, tmp_path: Path) -> Contain:
    reference = ProjectReference(location=str(project))
    tree = WorkingTree(
        root=str(project),
        project=str(project),
        provenance=Provenance(reference=reference, tree=Digest("swh:1:dir:0")),
    )
    entry_point = EntryPoint(name=EntryPointName("main"), template="x")

    def made(
        spec: dict[str, Any] | None = None,
        arguments: dict[str, str | None] | None = None,
        inputs: tuple[Input, ...] = (),
        **request: Any,
    ) -> Container:
        return contained(
            DockerSpec(image="i", place=Place(file="MLproject", line=2, column=1), **(spec or {})),
            RunRequest(
                reference=reference,
                caller=str(tmp_path),
                docker_arguments=arguments or {},
                **request,
            ),
            tree,
            Invocation(entry_point=entry_point, values={}, given={}, inputs=inputs),
            environ={"HOME": str(tmp_path), "DATA": str(project / "data"), "TOKEN": "t"},
        )

    return made


def test_volumes_of_the_project(contain: Contain, project: Path) -> None:
    found = contain(
        {
            "volumes": (
                "./data:/data:ro",
                "out put/x y:/out here",
                "cache:/cache",
                "/scratch",
                "${DATA}:/again:ro,z",
            )
        }
    )

    assert found.powers == ()
    assert found.mounts == (
        Mount(kind="bind", source=str(project / "data"), target="/data", read_only=True),
        Mount(kind="bind", source=str(project / "out put" / "x y"), target="/out here"),
        Mount(kind="volume", source="cache", target="/cache"),
        Mount(kind="volume", target="/scratch"),
        Mount(
            kind="bind",
            source=str(project / "data"),
            target="/again",
            read_only=True,
            options=("z",),
        ),
    )


@pytest.mark.parametrize(
    "text",
    ["", "relative", "a:b:c:d", "./data:/data:rx", "./data:relative", "./data:/", ":/x:", "a\0:/b"],
)
def test_what_is_no_volume(contain: Contain, text: str) -> None:
    with pytest.raises(SpecError):
        contain({"volumes": (text,)}, **ALLOWED)


def test_a_volume_whose_variable_is_unset(contain: Contain) -> None:
    with pytest.raises(SpecError, match="needs the variable 'NOWHERE'"):
        contain({"volumes": ("$NOWHERE/x:/x",)}, **ALLOWED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("~/.ssh:/keys", "outside of the project"),
        ("~:/home", "outside of the project"),
        ("./link:/keys", "outside of the project"),
        ("/:/host", "the whole file system of the host"),
        ("/../..:/host", "the whole file system of the host"),
        ("/var/run/docker.sock:/var/run/docker.sock", "socket"),
        ("/run:/r", "/run"),
        ("/var:/v", "/var"),
        ("/proc/1:/p", "/proc"),
    ],
)
def test_a_project_that_reaches_out_needs_the_callers_word(
    contain: Contain, project: Path, text: str, said: str
) -> None:
    (project / "link").symlink_to(project.parent / ".ssh")

    with pytest.raises(RunprojError, match="reach beyond itself") as refused:
        contain({"volumes": (text,)})
    allowed = contain({"volumes": (text,)}, **ALLOWED)

    assert said in refused.value.message
    assert "--allow-host-access" in (refused.value.hint or "")
    assert refused.value.exit_code == 2
    assert len(allowed.powers) == 1
    assert [problem.rule for problem in warnings(allowed)] == ["host-access"]


@pytest.mark.parametrize("text", ["/srv/data:/data", "../sibling:/data", "~/data:/data"])
def test_data_outside_of_the_project_are_shown_as_mlflow_does_and_said(
    contain: Contain, text: str
) -> None:
    found = contain({"volumes": (text,)})
    (problem,) = warnings(found)
    assert problem.rule == "host-access"
    assert "outside of the project" in problem.message


def test_what_the_caller_mounts_is_his_own_word(contain: Contain) -> None:
    found = contain(arguments={"v": "/srv/my data:/data"})

    assert found.powers == ()
    assert found.mounts == (Mount(kind="bind", source="/srv/my data", target="/data"),)


@pytest.mark.parametrize(
    "arguments",
    [
        {"privileged": None},
        {"cap-add": "SYS_ADMIN"},
        {"device": "/dev/sda"},
        {"security-opt": "seccomp=unconfined"},
        {"pid": "host"},
        {"ipc": "host"},
        {"uts": "host"},
        {"userns": "host"},
        {"cgroup-parent": "/"},
        {"v": "/:/host"},
        {"v": "/var/run/docker.sock:/s"},
        {"v": "/etc:/e:ro"},
    ],
)
def test_what_gives_the_host_away_needs_the_flag_as_well(
    contain: Contain, arguments: dict[str, str | None]
) -> None:
    with pytest.raises(UsageError, match="reach beyond itself"):
        contain(arguments=arguments)
    assert len(contain(arguments=arguments, **ALLOWED).powers) == 1


def test_guards_may_be_added(contain: Contain) -> None:
    guarded = {"cap-drop": "ALL", "security-opt": "no-new-privileges", "read-only": None}
    assert contain({"code": "mount"}, guarded).powers == ()
    with pytest.raises(UsageError, match="takes no copy of the project"):
        contain(arguments=guarded)


def test_networks(contain: Contain) -> None:
    assert contain({"network": "none"}).network == "none"
    assert contain({"network": "none"}, {"net": "mine"}).network == "mine"
    assert contain(arguments={"network": "host"}).powers == ()
    with pytest.raises(SpecError, match="the host's network"):
        contain({"network": "host"})


def test_a_volume_in_the_place_of_the_code(contain: Contain) -> None:
    found = contain({"volumes": ("./:/mlflow/projects/code",)})

    assert found.code == "image"
    assert [problem.rule for problem in warnings(found)] == ["code-of-image"]


def test_inputs_are_shown_where_they_are(contain: Contain, tmp_path: Path) -> None:
    path = str(tmp_path / "my data.csv")
    one = Input(parameter="d", given="x", path=path, digest=Digest("sha256:0"), size=1)

    found = contain(inputs=(one, one))

    assert found.mounts == (
        Mount(kind="bind", source=os.path.realpath(path), target=path, read_only=True),
    )


def test_variables_are_copied_by_name(contain: Contain) -> None:
    found = contain({"variables": {"TOKEN": None, "X": "a $(b)"}}, {"e": "Y=1"})

    assert found.copied == ("TOKEN",)
    assert found.variables == {"X": "a $(b)", "Y": "1"}
    with pytest.raises(ParameterError, match="GONE, LOST to be set"):
        contain({"variables": {"GONE": None, "LOST": None}})


def test_gpus_of_the_project_and_of_the_caller(contain: Contain) -> None:
    assert contain({"gpus": "2"}).settings["DeviceRequests"][0]["Count"] == 2  # type: ignore[index]
    assert (
        contain({"gpus": "2"}, {"gpus": "all"}).settings["DeviceRequests"][0]["Count"]  # type: ignore[index]
        == -1
    )
    with pytest.raises(SpecError, match="gpus: some"):
        contain({"gpus": "some"})


def test_an_empty_folder_is_not_shown_read_only(contain: Contain) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        contain({"volumes": ("./missing:/x:ro",)})
