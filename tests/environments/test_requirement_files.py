from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.environments.requirements import (
    Requirements,
    extras,
    logical_lines,
    marker,
    requirements,
)
from runner.errors import EnvError
from runner.model.spec import Place, PythonSpec

if TYPE_CHECKING:
    from pathlib import Path


def read(project: Path, *lines: str, **given: Any) -> Requirements:
    place = Place(file="python_env.yaml", line=4, column=5)
    spec = PythonSpec(
        origin="python_env.yaml", kind="python_env", requirements=lines, place=place, **given
    )
    return requirements(spec, str(project))


def test_nested_files_are_read_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "all.txt").write_text("-r more.txt\nnumpy # fast\n")
    (tmp_path / "deps" / "more.txt").write_text("# nothing\n\npandas>=2 ; python_version>'3'\n")
    found = read(tmp_path, "-r deps/all.txt", "six")
    assert [line.text for line in found.lines] == ["pandas>=2 ; python_version>'3'", "numpy", "six"]
    assert [line.place for line in found.lines] == [
        "deps/more.txt:3",
        "deps/all.txt:2",
        "python_env.yaml:4",
    ]


@pytest.mark.parametrize(
    "line", ["-r a.txt", "-ra.txt", "--requirement a.txt", "--requirement=a.txt", "-r 'a.txt'"]
)
def test_every_spelling_of_an_include(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text("six\n")
    assert [x.text for x in read(tmp_path, line).lines] == ["six"]


def test_a_file_that_is_not_there_is_named_with_the_line_that_asks_for_it(tmp_path: Path) -> None:
    text = "python: '3.11'\ndependencies:\n  - six\n  # - -r no.txt\n  - -r no.txt\n"
    (tmp_path / "python_env.yaml").write_text(text)
    with pytest.raises(EnvError, match=r"'no\.txt'") as caught:
        read(tmp_path, "six", "-r no.txt")
    assert caught.value.where == "python_env.yaml:5"


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt\nsix\n")
    (tmp_path / "b.txt").write_text("-r a.txt\ndocopt\n")
    assert [x.text for x in read(tmp_path, "-r a.txt").lines] == ["docopt", "six"]


def test_constraints_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("six<2\n")
    found = read(tmp_path, "-c c.txt", "six")
    assert [x.text for x in found.lines] == ["six"]
    assert [x.text for x in found.constraints] == ["six<2"]


def test_index_options_become_options_for_uv(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "-i https://a.example/simple\n--extra-index-url=https://b.example/simple\n"
        "-f wheels\n--pre\n--no-index\n--trusted-host c.example\n--prefer-binary\nsix\n"
    )
    assert read(tmp_path, "-r r.txt").options == (
        *("--index-url", "https://a.example/simple"),
        *("--extra-index-url", "https://b.example/simple"),
        *("--find-links", str(tmp_path / "wheels")),
        *("--prerelease", "allow"),
        "--no-index",
        *("--allow-insecure-host", "c.example"),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-r nowhere.txt", "there is no file 'nowhere.txt'"),
        ("-r", "does not say which file"),
        ("-r https://x.example/r.txt", "from the network"),
        ("--no-such-option 1", "'--no-such-option' is not understood"),
        ("./nowhere", "there is no package at './nowhere'"),
        ("-e ./nowhere", "there is no package folder at './nowhere'"),
        ("-e git+https://x.example/r.git", "needs a name"),
        ("name @ file:///no/where", "there is no package at"),
    ],
)
def test_bad_lines_are_named_with_their_place(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(EnvError, match=said) as caught:
        read(tmp_path, "six", line)
    assert caught.value.where == "python_env.yaml:4"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EnvError, match="not UTF-8"):
        read(tmp_path, "-r r.txt")


@pytest.mark.parametrize(
    ("line", "editable"),
    [
        ("./pkg", False),
        ("pkg/", False),
        ("./pkg[dev] ; python_version > '3'", False),
        ("name @ file://{0}/pkg", False),
        ("file://{0}/pkg", False),
        ("{0}/pkg", False),
        ("-e ./pkg", True),
        ("-e pkg", True),
        ("--editable=./pkg[dev]", True),
    ],
)
def test_local_packages_are_found(tmp_path: Path, line: str, editable: bool) -> None:  # noqa: FBT001 - parametrized
    (tmp_path / "pkg").mkdir()
    (found,) = read(tmp_path, line.format(tmp_path)).local_packages
    assert (found.local, found.editable) == (str(tmp_path / "pkg"), editable)


@pytest.mark.parametrize(
    "line", ["six", "a @ https://x.example/a.whl", "git+https://x.example/r.git", "a[b]>=1"]
)
def test_packages_of_an_index_are_not_local(tmp_path: Path, line: str) -> None:
    (tmp_path / "six").mkdir()
    assert read(tmp_path, line).local_packages == ()


def test_an_editable_repository_is_a_named_url(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "-e git+https://x.example/r.git@main#egg=a&subdirectory=b").lines
    assert line.text == "a @ git+https://x.example/r.git@main#subdirectory=b"


def test_extras_and_markers_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (line,) = read(tmp_path, "./pkg[dev,gpu] ; python_version > '3'").lines
    assert (extras(line), marker(line)) == ("[dev,gpu]", " ; python_version > '3'")


def test_continued_lines_are_one_line_with_the_first_number() -> None:
    text = "six==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n# c \\\ndocopt\n"
    assert [*logical_lines(text)] == [
        (1, "six==1      --hash=sha256:aa      --hash=sha256:bb"),
        (5, "docopt"),
    ]


@given(st.lists(st.from_regex(r"[a-z][a-z0-9.-]{0,8}(==[0-9.]{1,5})?", fullmatch=True)))
def test_plain_lines_survive_as_they_are(names: list[str]) -> None:
    text = "".join(f"  {name}  # why\n\n" for name in names)
    found = [*logical_lines(text)]
    assert [line for _, line in found] == names
    assert [number for number, _ in found] == [2 * i + 1 for i in range(len(names))]


@given(st.text())
def test_any_text_is_read_or_refused_never_a_crash(text: str) -> None:
    for number, line in logical_lines(text):
        assert number >= 1
        assert line.strip() == line


def test_all_files_that_were_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("six\n")
    assert read(tmp_path, "-r a.txt").files == (os.path.join(tmp_path, "a.txt"),)
