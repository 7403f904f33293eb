from __future__ import annotations

import pytest

from runner.documents.conda_packages import (
    NotForPip,
    parsed_package,
    pip_requirement,
    python_version,
)

PYTHONS = {
    "python": None,
    "python=*": None,
    "python=3.8": "3.8",
    "python=3.8.*": "3.8",
    "python=3.9*": "3.9",
    "python 3.9": "3.9",
    "python 3.9.*": "3.9",
    "python =3.9": "3.9",
    "python = 3.9": "3.9",
    "python ==3.9": "3.9",
    "python==3.9.16": "3.9.16",
    "python=3.9.16=h2782a2a_0": "3.9.16",
    "python 3.9.7 h12debd9_1": "3.9.7",
    "python=3.11=*_cpython": "3.11",
    "Python=3.10": "3.10",
    "conda-forge::python=3.9": "3.9",
    "defaults/linux-64::python==3.9.16": "3.9.16",
    "python>=3.8": ">=3.8",
    "python>=3.8,<3.11": ">=3.8,<3.11",
    "python >= 3.8 , < 3.11": ">=3.8,<3.11",
    "python>=3.8.*": ">=3.8",
    "python~=3.8": "~=3.8",
    "python!=3.9.*": "!=3.9.*",
    "python=3.9,!=3.9.7": "==3.9.*,!=3.9.7",
    "python[version='>=3.8,<3.10']": ">=3.8,<3.10",
    'python[version="3.9.*",build=*_cpython]': "3.9",
}
PIP = {
    "pip": "pip",
    "pip=20.2": "pip==20.2.*",
    "pip==20.2": "pip==20.2",
    "pip=21.2.4": "pip==21.2.4",
    "pip=21.2.4=py38h06a4308_0": "pip==21.2.4",
    "pip<=21.2.4": "pip<=21.2.4",
    "setuptools >=40, <60": "setuptools>=40,<60",
}


@pytest.mark.parametrize(("line", "version"), PYTHONS.items())
def test_conda_ways_of_pinning_python_are_understood(line: str, version: str | None) -> None:
    package = parsed_package(line)

    assert package is not None
    assert package.name == "python"
    assert python_version(package) == version


@pytest.mark.parametrize(("line", "requirement"), PIP.items())
def test_packages_that_pip_has_become_requirements(line: str, requirement: str) -> None:
    package = parsed_package(line)

    assert package is not None
    assert pip_requirement(package) == requirement


@pytest.mark.parametrize("line", ["python=3.8|3.9", "python=3.x", "python>=3.8|<3", "python=py39"])
def test_what_has_no_pip_form_is_left_to_conda(line: str) -> None:
    package = parsed_package(line)

    assert package is not None
    with pytest.raises(NotForPip):
        python_version(package)


@pytest.mark.parametrize("line", ["", "==3", "*", "::"])
def test_what_is_no_package_is_none(line: str) -> None:
    assert parsed_package(line) is None
