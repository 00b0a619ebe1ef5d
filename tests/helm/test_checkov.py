"""checkov finds nothing in any file of `ci/` that is not explained in checkov.yaml."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helm.chart import ROOT, need

EXPLAINED = yaml.safe_load(Path(__file__).with_name("checkov.yaml").read_text())


@pytest.fixture(scope="module")
def found(manifests, tmp_path_factory) -> set[tuple[str, str, str]]:
    """Check, kind and file of `ci/` of everything that failed: one run over all of them."""
    checkov = need("checkov", ROOT / ".venv-checkov" / "bin")
    folder = tmp_path_factory.mktemp("checkov")
    for name, text in manifests.items():
        (folder / f"{name}.yaml").write_text(text)
    words = ["--framework", "kubernetes", "--directory", folder, "--output", "json"]
    words += ["--compact", "--quiet", "--skip-download", "--soft-fail"]
    done = subprocess.run(
        [checkov, *words],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LOG_LEVEL": "WARNING"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] >= 5 * len(manifests)
    assert report["summary"]["passed"] > 1000
    return {
        (one["check_id"], one["resource"].partition(".")[0], Path(one["file_path"]).stem)
        for one in report["results"]["failed_checks"]
    }


def explains(entry, check, kind, file):
    return (
        entry["check"] == check
        and kind in entry["of"]
        and (file in entry["in"] or entry["in"] == ["*"])
    )


def test_everything_that_is_found_is_explained(found):
    rest = {one for one in found if not any(explains(entry, *one) for entry in EXPLAINED)}
    assert not rest


def test_every_explanation_is_still_needed(found):
    for entry in EXPLAINED:
        assert entry["reason"].endswith("."), entry
        assert any(explains(entry, *one) for one in found), f"no longer found: {entry}"
