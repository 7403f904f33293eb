"""Conda match specifications -> what pip and an interpreter search understand.

The grammar is that of conda's ``MatchSpec``: ``channel::name version build``,
``name=version=build``, ``name>=1,<2``, ``name[version='>=1',build=x]``.
"""

from __future__ import annotations

import re

from runner.model.value import Value

_NAME = re.compile(r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(?P<rest>.*)", re.DOTALL)
_BRACKETS = re.compile(r"""(\w+)\s*=\s*(?:'([^']*)'|"([^"]*)"|([^,'"\]\s]+))""")
_CLAUSE = re.compile(r"(?P<operator>==|~=|!=|>=|<=|=|>|<)?\s*(?P<version>[0-9][0-9A-Za-z.+!_-]*)")
_FULL = 3
"""Numbers of a version that leave nothing open (``21.2.4``)."""


class CondaPackage(Value):
    """A conda package as its line asks for it; ``version`` and ``build`` may be empty."""

    name: str
    version: str = ""
    build: str = ""


class NotForPip(ValueError):  # noqa: N818 - says what is wrong, where it is caught at once
    """The version cannot be written as a PEP 440 specifier."""


def parsed_package(line: str) -> CondaPackage | None:
    """Split a match specification into name, version and build; None when it is none."""
    match = _NAME.fullmatch(line.rpartition("::")[2].strip())
    if match is None:
        return None
    name, rest = match["name"].lower(), match["rest"].strip()
    if rest.startswith("["):
        parts = {key: a or b or c for key, a, b, c in _BRACKETS.findall(rest)}
        return CondaPackage(
            name=name, version=parts.get("version", ""), build=parts.get("build", "")
        )
    rest = rest.partition("[")[0].strip()
    rest = re.sub(r"\s*([<>=!~,|]+)\s*", r"\1", rest)
    operator = re.match(r"==?(?![=~])", rest)
    if operator:
        version, build = rest[operator.end() :].replace(" ", "="), ""
        if "," not in version:
            version, _, build = version.partition("=")
        return CondaPackage(name=name, version=operator[0] + version, build=build)
    version, _, build = rest.partition(" ")
    return CondaPackage(name=name, version=version, build=build.strip())


def python_version(package: CondaPackage) -> str | None:
    """Return the interpreter a package line asks for, as ``PythonSpec.python`` wants it.

    A single pin is a version (``3.9`` means any 3.9), a range a PEP 440 specifier.

    Raises:
        NotForPip: It is an alternative (``3.8|3.9``) or no version at all.
    """
    clauses = _clauses(package.version)
    if not clauses:
        return None
    operator, version = clauses[0]
    if len(clauses) == 1 and operator in {"", "=", "=="}:
        return version
    return ",".join(_pep440(operator, version, exact=False) for operator, version in clauses)


def pip_requirement(package: CondaPackage) -> str:
    """Return the requirement that asks pip for the same versions of a package.

    Raises:
        NotForPip: There is none.
    """
    exact = bool(package.build)
    clauses = _clauses(package.version)
    return package.name + ",".join(_pep440(operator, v, exact=exact) for operator, v in clauses)


def _pep440(operator: str, version: str, *, exact: bool) -> str:
    if operator not in {"", "="}:
        return f"{operator}{version}"
    fixed = exact or version.count(".") + 1 >= _FULL
    return f"=={version}" if fixed else f"=={version}.*"


def _clauses(version: str) -> list[tuple[str, str]]:
    """Split ``>=3.8,<3.11`` into operators and versions, wildcards at the end taken off."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    clauses = []
    for text in filter(None, version.split(",")):
        plain = re.sub(r"\.?\*$", "", text)
        if plain in {"", "=", "=="}:
            continue
        match = _CLAUSE.fullmatch(plain)
        if match is None:
            raise NotForPip(text)
        operator = match["operator"] or ""
        number = f"{match['version']}.*" if operator == "!=" and "*" in text else match["version"]
        try:
            SpecifierSet(_pep440(operator, number, exact=True))
        except InvalidSpecifier:
            raise NotForPip(text) from None
        clauses.append((operator, number))
    return clauses
