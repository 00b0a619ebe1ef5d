#!/usr/bin/env bash
# Write a CycloneDX list of what the image's environment holds, with versions, licences and who
# needs what: sbom.sh OUTPUT [VENV]. Without VENV an environment is made, used and removed; it is
# made as the Dockerfile makes the image's. The tool checks its output against the schema.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${VENV:-.venv}/bin
output=$1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

make_environment() {
    local pip=("$tools/python" -m pip --quiet --disable-pip-version-check)
    "$tools/python" -m venv --without-pip "$1"
    "${pip[@]}" --python "$1/bin/python" install \
        --no-deps --require-hashes --only-binary :all: -r requirements.txt
    "${pip[@]}" wheel --no-deps --wheel-dir "$scratch" .
    "${pip[@]}" --python "$1/bin/python" install --no-deps --no-index "$scratch"/*.whl
}

environment=${2:-$scratch/environment}
[ -n "${2:-}" ] || make_environment "$environment"

# The version is kept in the package, where the tool does not look.
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' tenantproxy/__init__.py)
sed "s/^dynamic = .*/version = \"$version\"/" pyproject.toml >"$scratch/pyproject.toml"

mkdir -p "$(dirname "$output")"
"$tools/cyclonedx-py" environment "$environment" --pyproject "$scratch/pyproject.toml" \
    --output-reproducible --validate --output-format JSON --output-file "$output"
