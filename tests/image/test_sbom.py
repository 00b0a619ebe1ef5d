"""`make sbom`, told of the image's environment: complete, with licences, and the same each time."""

import json
import os
import subprocess
import sys

import pytest
from packaging.utils import canonicalize_name

import tenantproxy
from tests.e2e.apart import ROOT
from tests.image.test_image import site_packages
from tests.image.test_lock import Lock

pytestmark = pytest.mark.timeout(240)  # the first one to run makes the image


def written(environment, output) -> str:
    """Return the list; the tool has compared it with CycloneDX' schema."""
    venv = {"VENV": sys.prefix}
    command = [ROOT / "tools/sbom.sh", output, environment]
    subprocess.run(command, env=os.environ | venv, check=True, capture_output=True, timeout=60)
    return output.read_text()


@pytest.fixture(scope="module")
def environment(image, tmp_path_factory):
    """The image's packages in an environment that this machine can enter, without its root."""
    folder = tmp_path_factory.mktemp("sbom") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (empty,) = folder.glob("lib/python3.*/site-packages")
    empty.rmdir()
    empty.symlink_to(site_packages(image))
    return folder


def test_the_sbom_names_what_the_lock_names_with_licences_and_who_needs_what(environment, tmp_path):
    bom = json.loads(written(environment, tmp_path / "sbom.json"))
    ours = bom["metadata"]["component"]
    assert (ours["name"], ours["version"]) == ("tenantproxy", tenantproxy.__version__)
    named = {canonicalize_name(one["name"]): one["version"] for one in bom["components"]}
    locked = Lock("requirements.txt", []).versions()
    assert named == {name: str(version) for name, version in locked.items()}
    assert not [one["name"] for one in bom["components"] if not one.get("licenses")]
    needs = {one["ref"]: one.get("dependsOn", []) for one in bom["dependencies"]}
    assert any(ref.startswith("uvloop==") for ref in needs[ours["bom-ref"]])
    # What would differ the next time.
    assert "serialNumber" not in bom
    assert "timestamp" not in bom["metadata"]
