#!/usr/bin/env bash
# Write requirements.txt and requirements-build.txt: what the image installs, and what builds its
# wheel, each pinned with the hashes of its files. Pins stay while pyproject.toml allows them; with
# --upgrade the newest that it allows are taken. Then it is asked for each Python and machine that
# we name whether every pin has a wheel there, since the image builds nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
pythons=(3.11 3.12 3.13)
machines=(x86_64-manylinux_2_28 aarch64-manylinux_2_28)

say() { printf '%s\n' "$*" >&2; }

# Where packages come from is the matter of who runs this, and no part of the result.
compile() {
    "$venv/bin/uv" pip compile --quiet --no-config --universal --generate-hashes --no-emit-index-url \
        --python-version "${pythons[0]}" --custom-compile-command "make lock" "$@"
}

has_wheels() {
    "$venv/bin/uv" pip install --quiet --no-config --dry-run --no-deps --require-hashes \
        --only-binary :all: --target "$scratch" --python-version "$1" --python-platform "$2" \
        -r requirements.txt
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile pyproject.toml --output-file requirements.txt "$@"
"$venv/bin/python" -c '
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
print(*project["build-system"]["requires"], sep="\n")' |
    compile - --output-file requirements-build.txt "$@"

for python in "${pythons[@]}"; do
    for machine in "${machines[@]}"; do
        has_wheels "$python" "$machine" || { say "error: no wheels for Python $python on $machine"; exit 1; }
    done
done
say "locked, with wheels for Python ${pythons[*]} on ${machines[*]}"
