#!/usr/bin/env bash
# Install checkov, which looks for unsafe settings in what the chart renders, into a virtual
# environment of its own: it pins packages that ours has in other versions. The first argument is
# the virtual environment whose Python makes it, the second where it goes. Elsewhere its tests
# are skipped and say so; with CI=true it must be there.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
own=${2:-.venv-checkov}

say() { printf '%s\n' "$*" >&2; }

[ "$own/.stamp" -nt pyproject.toml ] && exit 0

install() {
    "$venv/bin/python" -m venv --clear "$own" || return
    mapfile -t group < <("$venv/bin/python" -c '
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
print(*project["dependency-groups"]["checkov"], sep="\n")')
    "$own/bin/python" -m pip install --quiet --disable-pip-version-check "${group[@]}" || return
    "$own/bin/checkov" --version >/dev/null
}

say "installing checkov into $own (once, and when pyproject.toml changes)"
if install; then
    touch "$own/.stamp"
    exit 0
fi
rm -rf "$own"
if [ "${CI:-}" = true ]; then
    say "error: checkov cannot be installed"
    exit 1
fi
say "note: checkov cannot be installed, its tests are skipped"
