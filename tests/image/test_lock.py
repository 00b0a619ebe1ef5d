"""The locks are what pyproject.toml asks for, exact, and bound to hashes; no network is asked."""

import re
import tomllib
from dataclasses import dataclass

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pip_requirements_parser import RequirementsFile

from tests.e2e.apart import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@dataclass
class Lock:
    """A lock, and what it was made from."""

    file: str
    wanted: list[str]

    def parsed(self) -> RequirementsFile:
        return RequirementsFile.from_file(str(ROOT / self.file))

    def text(self) -> str:
        return (ROOT / self.file).read_text()

    def versions(self) -> dict[str, Version]:
        return {
            canonicalize_name(pin.name): Version(pin.get_pinned_version)
            for pin in self.parsed().requirements
        }


@pytest.fixture(
    params=[
        Lock("requirements.txt", PROJECT["project"]["dependencies"]),
        Lock("requirements-build.txt", PROJECT["build-system"]["requires"]),
    ],
    ids=lambda lock: lock.file,
)
def lock(request) -> Lock:
    return request.param


def test_every_dependency_is_locked_at_a_version_that_pyproject_allows(lock):
    versions = lock.versions()
    for wanted in map(Requirement, lock.wanted):
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted


def test_every_pin_is_exact_and_has_hashes(lock):
    for pin in lock.parsed().requirements:
        assert pin.is_pinned, pin.line
        assert pin.hash_options, pin.line
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in pin.hash_options)


def test_every_pin_is_wanted_by_us_or_by_another_pin(lock):
    """A dependency that pyproject.toml gave up goes from the lock, too."""
    wanted = {canonicalize_name(Requirement(one).name) for one in lock.wanted}
    needed_by: dict[str, set[str]] = {}
    for line in lock.text().splitlines():
        if found := re.match(r"([\w.-]+)==", line):
            needed_by[current := found[1]] = set()
        elif found := re.match(r" +# (?:via|  ) *([\w.-]+)", line):
            needed_by[current].add(found[1])
    # The lock of the build names none for what it was asked for on standard input.
    ours = {name for name, by in needed_by.items() if "tenantproxy" in by or not by}
    assert ours == wanted
    others = set().union(*needed_by.values()) - {"tenantproxy"}
    assert others <= set(needed_by)


def test_a_lock_says_nothing_about_where_packages_come_from(lock):
    parsed = lock.parsed()
    assert not parsed.options
    assert not parsed.invalid_lines
    assert "://" not in lock.text()


def test_the_version_of_python_that_the_image_has_is_one_that_the_lock_was_checked_for():
    checked = re.search(r"^pythons=\((.*)\)$", (ROOT / "tools/lock.sh").read_text(), re.MULTILINE)
    default = re.search(r"PYTHON_IMAGE=python:(\d\.\d+)-", (ROOT / "Dockerfile").read_text())
    assert default[1] in checked[1].split()
