"""MLproject files that are wrong, through the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.malformed.conftest import Refusal


class Case(NamedTuple):
    """An MLproject file, the line that is at fault (0: none) and what the error has to name."""

    name: str
    text: str | bytes
    line: int
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


STRICT = ("--strict",)
MAIN = "entry_points:\n  main:\n"
"""The lines that most files share; what follows begins at line 3."""


def parameter(text: str) -> str:
    """Return a project whose parameter ``x`` is declared as given, at line 4."""
    return f'{MAIN}    parameters:\n      x: {text}\n    command: "echo {{x}}"\n'


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
    for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = (
    Case("empty", "", 0, ("MLproject",)),
    Case("comments only", "# nothing\n# here\n", 0, ("MLproject",)),
    Case("null", "~\n", 0, ("MLproject",)),
    Case("list", "- name: x\n- entry_points: {}\n", 1),
    Case("scalar", "just words\n", 1),
    Case("number", "42\n", 1),
    Case("two documents", "name: a\n---\nname: b\n", 2),
    Case("tab", "entry_points:\n\tmain:\n\t\tcommand: x\n", 2, ("tab",)),
    Case("open bracket", "name: [a, b\nentry_points: {}\n", 1),
    Case("open quote", 'name: "abc\nentry_points: {}\n', 1),
    Case("unknown alias", "name: *nobody\n", 1, ("nobody",)),
    Case("colon in value", "name: a: b\n", 1),
    Case("bad escape", 'name: "\\q"\n', 1),
    Case("bad indentation", "entry_points:\n    main:\n  command: x\n", 3),
    Case("missing colon", "entry_points\n  main:\n    command: x\n", 2),
    Case("template", "name: {{ cookiecutter.name }}\n", 1, ("template",)),
    Case("template block", "{% if x %}\nname: a\n{% endif %}\n", 1, ("template",)),
    Case("merge conflict", "<<<<<<< HEAD\nname: a\n=======\nname: b\n>>>>>>> x\n", 0),
    Case("python object", "name: !!python/object/apply:os.system ['true']\n", 1),
    Case("custom tag", "name: !include other.yaml\n", 1, ("!include",)),
    Case("list as key", "[a, b]: c\nentry_points: {}\n", 1),
    Case("not UTF-8", b"name: caf\xe9\n", 0, ("UTF-8",)),
    Case("binary", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", 0),
    Case("NUL byte", b"name: a\x00b\n", 0),
    Case("alias bomb", BOMB, 0),
    Case("deep nesting", "a: " + "[" * 5000 + "]" * 5000 + "\n", 0),
)

STRUCTURE = (
    Case("entry points a list", "entry_points:\n  - main\n", 2, ("entry_points",)),
    Case("entry points a string", "entry_points: main\n", 1, ("entry_points",)),
    Case("entry point a string", "entry_points:\n  main: python train.py\n", 2, ("main",)),
    Case("entry point a list", "entry_points:\n  main: [a]\n", 2, ("main",)),
    Case("entry point a number", "entry_points:\n  main: 3\n", 2, ("main",)),
    Case("command missing", f"{MAIN}    parameters: {{}}\n", 2, ("command",)),
    Case("command misspelt", f"{MAIN}    comand: echo\n", 0, ("comand", "command")),
    Case("command null", f"{MAIN}    command:\n", 0, ("command",)),
    Case("command a list", f"{MAIN}    command: [echo, x]\n", 3, ("command",)),
    Case("command a mapping", f"{MAIN}    command: {{echo: x}}\n", 3, ("command",)),
    Case("command a number", f"{MAIN}    command: 5\n", 3, ("command",)),
    Case("parameters a list", f"{MAIN}    parameters: [x]\n    command: c\n", 3, ("parameters",)),
    Case("parameters a string", f"{MAIN}    parameters: x\n    command: c\n", 3, ("parameters",)),
    Case("parameters a number", f"{MAIN}    parameters: 1\n    command: c\n", 3, ("parameters",)),
    Case("parameter a number", parameter("5"), 4, ("x",)),
    Case("parameter a list", parameter("[int]"), 4, ("x",)),
    Case("parameter a boolean", parameter("true"), 4, ("x",)),
)

STRICTLY = (
    Case("type a list", parameter("{type: [int]}"), 4, ("type",), STRICT),
    Case("type a number", parameter("{type: 5}"), 4, ("type",), STRICT),
    Case("default a mapping", parameter("{default: {a: 1}}"), 4, ("default",), STRICT),
    Case("name a list", f"name: [a]\n{MAIN}    command: c\n", 1, ("name",), STRICT),
    Case("name a mapping", f"name: {{a: b}}\n{MAIN}    command: c\n", 1, ("name",), STRICT),
    Case("unknown key", f"{MAIN}    command: c\nsurprise: 1\n", 4, ("surprise",), STRICT),
    Case(
        "python_env misspelt",
        f"pyhton_env: p.yaml\n{MAIN}    command: c\n",
        1,
        ("pyhton_env", "python_env"),
        STRICT,
    ),
    Case(
        "entry_points misspelt", "entry_point:\n  main: {command: c}\n", 1, ("entry_point",), STRICT
    ),
    Case(
        "parameters misspelt",
        f"{MAIN}    paramaters: {{}}\n    command: c\n",
        3,
        ("paramaters", "parameters"),
        STRICT,
    ),
    Case(
        "default misspelt", parameter("{type: int, defualt: 3}"), 4, ("defualt", "default"), STRICT
    ),
    Case("glued", parameter("{type:int, default:10}"), 4, ("type:int",), STRICT),
    Case("unknown type", parameter("{type: integre, default: 3}"), 4, ("integre",), STRICT),
    Case(
        "unused parameter",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: echo\n",
        4,
        ("x",),
        STRICT,
    ),
    Case("key twice", f"{MAIN}    command: a\n    command: b\n", 4, ("command",), STRICT),
    Case("null environment", f"conda_env:\n{MAIN}    command: c\n", 1, ("conda_env",), STRICT),
)

ENVIRONMENT = (
    Case("python_env a list", f"python_env: [a]\n{MAIN}    command: c\n", 1, ("python_env",)),
    Case("python_env a number", f"python_env: 3\n{MAIN}    command: c\n", 1, ("python_env",)),
    Case("python_env missing", f"python_env: no.yaml\n{MAIN}    command: c\n", 1, ("no.yaml",)),
    Case("python_env a folder", f"python_env: .\n{MAIN}    command: c\n", 1, ("python_env",)),
    Case("python_env outside", f"python_env: /etc/hostname\n{MAIN}    command: c\n", 1),
    Case("conda_env missing", f"conda_env: no.yaml\n{MAIN}    command: c\n", 1, ("no.yaml",)),
    Case(
        "two environments",
        f"conda_env: c.yaml\npython_env: p.yaml\n{MAIN}    command: c\n",
        0,
        ("conda_env", "python_env"),
    ),
    Case(
        "docker_env a string", f"name: a\ndocker_env: debian\n{MAIN}    command: c\n", 2, ("image",)
    ),
    Case("docker_env a list", f"name: a\ndocker_env: [debian]\n{MAIN}    command: c\n", 2),
    Case(
        "image missing",
        f"name: a\ndocker_env: {{volumes: []}}\n{MAIN}    command: c\n",
        2,
        ("image",),
    ),
    Case("image null", f"name: a\ndocker_env: {{image: }}\n{MAIN}    command: c\n", 2, ("image",)),
    Case(
        "image a list",
        f"name: a\ndocker_env: {{image: [a]}}\n{MAIN}    command: c\n",
        2,
        ("image",),
    ),
    Case(
        "volumes a string",
        f"name: a\ndocker_env: {{image: i, volumes: '/a:/b'}}\n{MAIN}    command: c\n",
        2,
        ("volumes",),
    ),
    Case(
        "environment a string",
        f"name: a\ndocker_env: {{image: i, environment: HOME}}\n{MAIN}    command: c\n",
        2,
        ("environment",),
    ),
    Case(
        "environment of three",
        f"name: a\ndocker_env: {{image: i, environment: [[A, b, c]]}}\n{MAIN}    command: c\n",
        2,
        ("environment",),
    ),
    Case(
        "spark job",
        "databricks_spark_job:\n  python_file: a.py\n",
        1,
        ("databricks_spark_job",),
        STRICT,
    ),
)

OPTIONS = (
    Case("min above max", parameter("{type: int, min: 5, max: 1, default: 3}"), 4, ("min",)),
    Case("default below min", parameter("{type: int, min: 5, default: 3}"), 4, ("3",)),
    Case("default above max", parameter("{type: float, max: 1, default: 3.5}"), 4, ("3.5",)),
    Case("default no choice", parameter("{choices: [a, b], default: c}"), 4, ("c",)),
    Case("choices empty", parameter("{choices: [], default: c}"), 4, ("choices",)),
    Case("choices a string", parameter("{choices: abc, default: a}"), 4, ("choices",)),
    Case("min a word", parameter("{type: int, min: low, default: 3}"), 4, ("min",)),
    Case("min of a string", parameter("{type: string, min: 3, default: a}"), 4, ("min",)),
    Case("optional a word", parameter("{optional: perhaps}"), 4, ("optional",)),
    Case("list a word", parameter("{list: many, default: [a]}"), 4, ("list",)),
    Case("secret a word", parameter("{secret: very}"), 4, ("secret",)),
    Case("switch of an int", parameter("{type: int, switch: --x, default: 3}"), 4, ("switch",)),
    Case("switch a list", parameter("{type: bool, switch: [--x], default: true}"), 4, ("switch",)),
    Case("int default a word", parameter("{type: int, default: many}"), 4, ("many",)),
    Case("int default a float", parameter("{type: int, default: 1.5}"), 4, ("1.5",)),
    Case("float default a word", parameter("{type: float, default: much}"), 4, ("much",)),
    Case("bool default a word", parameter("{type: bool, default: maybe}"), 4, ("maybe",)),
    Case("list default a word", parameter("{type: int, list: true, default: [1, b]}"), 4, ("b",)),
)

TEMPLATES = (
    Case("undeclared", f"{MAIN}    command: 'cat {{data_path}}'\n", 3, ("data_path",)),
    Case("shell variable", f"{MAIN}    command: 'echo ${{HOME}}'\n", 3, ("HOME",)),
    Case("open brace", f"{MAIN}    command: 'echo {{x'\n", 3),
    Case("closing brace", f"{MAIN}    command: 'echo x}}'\n", 3),
    Case("empty braces", f"{MAIN}    command: 'echo {{}}'\n", 3),
    Case("numbered", f"{MAIN}    command: 'echo {{0}}'\n", 3),
    Case("awk", f"{MAIN}    command: \"awk '{{print $1}}' data\"\n", 3),
    Case(
        "attribute",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: 'echo {{x.__class__}}'\n",
        5,
        ("x.__class__",),
    ),
    Case(
        "item",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: 'echo {{x[0]}}'\n",
        5,
        ("x[0]",),
    ),
    Case(
        "number format",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: 'echo {{x:d}}'\n",
        5,
        ("x:d",),
    ),
    Case(
        "conversion",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: 'echo {{x!z}}'\n",
        5,
        ("x!z",),
    ),
    Case(
        "nested undeclared",
        f"{MAIN}    parameters:\n      x: {{default: 1}}\n    command: 'echo {{x:{{width}}}}'\n",
        5,
        ("width",),
    ),
)

CASES = (*YAML, *STRUCTURE, *STRICTLY, *ENVIRONMENT, *OPTIONS, *TEMPLATES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_project_file_is_refused_at_its_place(case: Case, refused: Refusal) -> None:
    refused.write({"project/MLproject": case.text})
    complaint = refused("run", "project", *case.flags, kind="spec")
    complaint.names("MLproject", *case.names)
    if case.line:
        complaint.names(f"MLproject:{case.line}:")


def test_a_project_without_entry_points_names_its_file(refused: Refusal) -> None:
    refused.write({"project/MLproject": "name: x\n"})
    refused("run", "project", kind="parameter").names("main")


def test_all_errors_of_a_file_are_told_at_once(refused: Refusal) -> None:
    refused.write(
        {"project/MLproject": "python_env: 3\nentry_points:\n  main: 3\n  other: {command: [a]}\n"}
    )
    complaint = refused("run", "project", kind="spec")
    complaint.names("MLproject:1:", "MLproject:3:", "MLproject:4:")
