"""Images built from Dockerfiles on a real engine: once, from what is recorded, failures named."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from containers import said

from runner.environments.docker.project_lock import ImageDrawing
from runner.errors import EnvError, SpecError
from runner.model.lock import RecordedLock
from runner.model.spec import DockerSpec
from runner.system.files import read

if TYPE_CHECKING:
    import docker

    from runner.model.lock import ImageLock
    from tests.environments.docker.conftest import Yard

pytestmark = pytest.mark.slow
DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS first
ARG GREETING=hello
RUN echo ${GREETING} > /greeting; echo out of the step
FROM first
COPY . /src
"""


def own(base: str, **more: object) -> DockerSpec:
    arguments = {"BASE": base, **more.pop("args", {})}  # type: ignore[dict-item]  # a dict
    return DockerSpec(dockerfile="Dockerfile", args=arguments, **more)  # type: ignore[arg-type]


def inside(image: str, script: str) -> str:
    return said(image, "sh", "-c", script)


def recorded(lock: ImageLock) -> RecordedLock:
    return RecordedLock(content=read(lock.document), digest=lock.digest, name=lock.name, python="")


def test_an_image_is_built_once_and_again_when_something_changes(
    yard: Yard, engine: docker.DockerClient, sh_image: str
) -> None:
    text = DOCKERFILE.replace("the step", yard.name)  # no layer of another test's serves
    yard.write(Dockerfile=text, a="1", **{".dockerignore": "*.log\n", "b.log": "x"})
    first = yard.build(own(sh_image))
    assert first.image == first.digest
    assert first.shell == "sh"
    assert inside(first.image, "cat /greeting; cd /src; echo * .d*") == (
        "hello\nDockerfile a .dockerignore\n"
    )
    assert yard.listener.steps[0] == "building Dockerfile"
    assert f"out of {yard.name}" in yard.listener.lines
    labels = engine.images.get(first.image).labels
    assert labels["runproj.project"] == yard.name

    yard.listener.events.clear()
    yard.write(**{"b.log": "y"})  # ignored
    assert yard.build(own(sh_image)) == first
    assert yard.listener.events == []

    only_first = yard.build(own(sh_image, target="first"))
    yard.write(a="1 and more")
    assert yard.build(own(sh_image, target="first")) == only_first, "nothing in it has changed"
    yard.write(a="1")

    others = [own(sh_image, args={"GREETING": "hi"}), own(sh_image, target="first")]
    found = [first.digest, *(yard.build(spec).digest for spec in others)]
    yard.write(a="2")
    found.append(yard.build(own(sh_image)).digest)
    assert len({*found}) == len(found)
    assert inside(found[1], "cat /greeting") == "hi\n"
    assert inside(found[3], "cat /src/a") == "2"


def test_a_moved_base_makes_another_image_and_a_lock_keeps_the_old_one(
    yard: Yard, engine: docker.DockerClient, sh_image: str, python_image: str
) -> None:
    base = "runproj-test-base:moving"
    repository, tag = base.split(":")
    yard.write(
        Dockerfile="FROM runproj-test-base:moving\nRUN command -v python3 > /found || true\n"
    )
    spec = DockerSpec(dockerfile="Dockerfile")
    try:
        engine.images.get(sh_image).tag(repository, tag)
        drawn = ImageDrawing(home=str(yard.home), environ=yard.environ, reporter=yard.listener)
        made = drawn.drawn(yard.request(spec))
        lock = yard.lock(spec)
        before = yard.builder.build(lock)
        assert inside(before.image, "cat /found") == ""

        engine.images.get(python_image).tag(repository, tag)
        after = yard.build(spec)
        assert "python3" in inside(after.image, "cat /found")

        assert yard.build(spec, recorded=recorded(lock)) == before
        engine.images.remove(before.image, force=True, noprune=True)
        again = yard.build(spec, recorded=recorded(lock))
        assert inside(again.image, "cat /found") == ""
        assert yard.lock(spec, recorded=recorded(lock)).digest == lock.digest

        (yard.project / made.name).write_bytes(made.content)
        assert inside(yard.build(spec, locked=True).image, "cat /found") == ""
    finally:
        engine.images.remove(base)


def test_a_recorded_image_is_not_rebuilt_from_other_files(yard: Yard, sh_image: str) -> None:
    yard.write(Dockerfile=DOCKERFILE, a="1")
    lock = yard.lock(own(sh_image))
    yard.write(a="2")
    with pytest.raises(EnvError, match="not those that are here") as caught:
        yard.lock(own(sh_image), recorded=recorded(lock))
    assert "recorded sha256:" in (caught.value.where or "")


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        (
            "FROM {base}\nRUN echo before\nRUN echo the reason >&2; exit 3\n",
            ["at step 3/", "'RUN echo the reason >&2; exit 3': exit code 3", "the reason"],
        ),
        ("FROM {base}\nCOPY absent /\n", ["at step 2/", "absent"]),
        ("FROM {base}\nNONSENSE x\n", ["NONSENSE"]),
        ("FROM {base}\nCOPY --from=nowhere /a /b\n", ["nowhere"]),
    ],
)
def test_a_build_that_fails_says_where(
    yard: Yard, engine: docker.DockerClient, sh_image: str, dockerfile: str, words: list[str]
) -> None:
    yard.write(Dockerfile=dockerfile.replace("{base}", sh_image))
    with pytest.raises(EnvError) as caught:
        yard.build(DockerSpec(dockerfile="Dockerfile", pull="never"))
    sentence = f"{caught.value.message} {caught.value.where}"
    assert [word for word in words if word not in sentence] == [], sentence
    left = engine.api.containers(all=True)
    assert [c for c in left if "the reason" in c["Command"]] == []


def test_the_dockerfile_may_lie_beside_the_context(yard: Yard, sh_image: str) -> None:
    yard.write(docker__train=f"FROM {sh_image}\nCOPY . /src\n", src__a="1", b="2")
    spec = DockerSpec(dockerfile="docker/train", context="src")
    assert inside(yard.build(spec).image, "ls -A /src") == "a\n"


def test_a_context_without_dockerfile_is_placed(yard: Yard) -> None:
    (yard.project / "src").mkdir()
    with pytest.raises(SpecError, match=r"the Dockerfile 'src/Dockerfile' cannot be read"):
        yard.lock(DockerSpec(context="src"))


def test_build_image_puts_the_project_where_mlflow_does(
    yard: Yard, engine: docker.DockerClient, sh_image: str
) -> None:
    yard.write(MLproject="name: x\n", **{"train.py": "1", ".env": "KEY=1", "mlruns/a": "1"})
    spec = DockerSpec(image=sh_image)
    asked = {"build_image": True, "commit": "0123456789abcdef"}

    environment = yard.build(spec, **asked)

    assert inside(environment.image, "pwd; ls -A") == (
        "/mlflow/projects/code\nMLproject\ntrain.py\n"
    )
    assert f"{yard.name}:0123456" in engine.images.get(environment.image).tags
    assert yard.lock(spec, **asked).inputs != yard.lock(spec).inputs
    assert yard.build(spec, **asked) == environment


def test_arguments_that_look_like_secrets_are_warned_of(yard: Yard, sh_image: str) -> None:
    yard.write(Dockerfile=DOCKERFILE)
    yard.build(own(sh_image, args={"PIP_TOKEN": "hunter2"}))
    assert yard.listener.warnings == ["secret-build-argument"]
    assert "hunter2" not in str(yard.listener.events)


def test_two_at_a_time_build_one_image(yard: Yard, sh_image: str) -> None:
    yard.write(Dockerfile=DOCKERFILE + "RUN date +%s%N > /when\n")
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda _: yard.build(own(sh_image)), range(2)))
    assert built[0] == built[1]
    assert yard.listener.steps.count("building Dockerfile") == 1


def test_the_lock_of_a_build_says_nothing_of_its_result(yard: Yard, sh_image: str) -> None:
    yard.write(Dockerfile=DOCKERFILE)
    lock = yard.lock(own(sh_image))
    document = json.loads(read(lock.document))
    assert document["image"] is None
    assert document["build"]["bases"][0]["reference"] == sh_image
    assert lock.identifier is None
    assert lock.reference.startswith(f"runproj/{yard.name}:")
