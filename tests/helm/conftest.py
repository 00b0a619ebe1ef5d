"""Helm, and what it makes of every file of `ci/`, rendered once."""

from __future__ import annotations

import pytest

from tests.helm.chart import CI_FILES, Helm, Object, find_helm, parse


@pytest.fixture(scope="session")
def helm(tmp_path_factory) -> Helm:
    return find_helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def manifests(helm) -> dict[str, str]:
    """The text that Helm makes of each file of `ci/`, by the file's name without its end."""
    return {file.name.removesuffix("-values.yaml"): helm.text(files=(file,)) for file in CI_FILES}


@pytest.fixture(scope="session")
def rendered(manifests) -> dict[str, list[Object]]:
    """The objects that Helm makes of each file of `ci/`."""
    return {name: parse(text) for name, text in manifests.items()}
