#!/usr/bin/env bash
# Build the image with the engine that is there. IMAGE names it (tenantproxy:VERSION),
# PYTHON_IMAGE the base, with its digest for a release; other words go on to the engine.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

find_engine() {
    local name
    for name in docker podman buildah; do
        if command -v "$name"; then return; fi
    done
    say "error: no container engine found on PATH"
    say "hint: install docker, podman or buildah"
    return 1
}

# What is built is what is committed, or its name says that it is not.
revision() {
    git rev-parse HEAD 2>/dev/null || { echo unknown; return; }
    [ -z "$(git status --porcelain)" ] || echo -dirty
}

engine=$(find_engine)
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' tenantproxy/__init__.py)
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$(revision | tr -d '\n')")
[ -z "${PYTHON_IMAGE:-}" ] || arguments+=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE")
exec "$engine" build --pull --tag "${IMAGE:-tenantproxy:$version}" "${arguments[@]}" "$@" .
