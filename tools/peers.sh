#!/usr/bin/env bash
# Install what the benchmarks compare with and load with: the peers and load
# generators of Debian, and the group `bench` of pyproject.toml (Envoy, traefik,
# matplotlib) into the virtual environment given as the first argument. What
# cannot be installed is named here, and its peer is named in the tables.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

say() { printf '%s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

missing() {
    have haproxy || echo haproxy
    have nginx || echo nginx-light
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || echo libnginx-mod-stream
    have wrk || echo wrk
    have iperf3 || echo iperf3
    have taskset || echo util-linux
}

install() {
    # The benchmarks start proxies of their own; the packages must not start theirs.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

mapfile -t packages < <(missing)
if [ "${#packages[@]}" != 0 ]; then
    if have apt-get && [ "$(id -u)" = 0 ]; then
        say "installing for the benchmarks: ${packages[*]}"
        install "${packages[@]}" >&2 || say "warning: apt-get could not install them"
    fi
    mapfile -t packages < <(missing)
    [ "${#packages[@]}" = 0 ] || say "note: not installed: ${packages[*]} (apt-get install, as root)"
fi

mapfile -t group < <("$venv/bin/python" -c '
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
print(*project["dependency-groups"]["bench"], sep="\n")')
for one in "${group[@]}"; do
    # One by one: a peer without a wheel for this machine must not take the others with it.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$one" ||
        say "note: not installed: $one (PyPI)"
done
