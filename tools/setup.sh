#!/usr/bin/env bash
# Make the virtual environment given as the first argument, and install the
# program and the development tools of pyproject.toml into it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

say() { printf '%s\n' "$*" >&2; }

find_python() {
    local name
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
        # A name may exist and not run (pyenv leaves such), so ask it.
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say "error: no Python 3.11 or newer found on PATH"
    say "hint: on Debian 12 or newer: apt-get install python3 python3-venv; or set PYTHON=/path/to/python"
    return 1
}

need_venv_module() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $package, which makes virtual environments"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } >&2
    else
        say "error: $python cannot make virtual environments"
        say "hint: apt-get install $package (as root), then call make again"
        return 1
    fi
}

install() {
    # pip before 25.1 has no --group, so the group is read here: pyproject.toml stays the one list.
    mapfile -t dev < <("$venv/bin/python" -c '
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
print(*project["dependency-groups"]["dev"], sep="\n")')
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e . "${dev[@]}"
}

python=$(find_python)
if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    need_venv_module
    say "making $venv with $python"
    "$python" -m venv --clear "$venv"
fi
say "installing tenantproxy and its tools into $venv (once, and when pyproject.toml changes)"
install
