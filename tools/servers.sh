#!/usr/bin/env bash
# Install the real servers that the tests put behind the proxy, where that is
# possible. Elsewhere the tests that need them are skipped and say so; with
# CI=true a missing one is an error, so that nothing is skipped unseen.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null; }
have_postgres() { have pgbench && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

missing() {
    have curl || echo curl
    have redis-server || echo redis-server
    { have redis-cli && have redis-benchmark; } || echo redis-tools
    have nginx || [ -x /usr/sbin/nginx ] || echo nginx-light
    have_postgres || echo postgresql postgresql-contrib
    have promtool || echo prometheus
    have dnsmasq || [ -x /usr/sbin/dnsmasq ] || echo dnsmasq-base
    have nft || [ -x /usr/sbin/nft ] || echo nftables
    have haproxy || [ -x /usr/sbin/haproxy ] || echo haproxy
    { have ip && have tc && have unshare; } || echo iproute2 util-linux
}

install() {
    # The tests start servers of their own; the packages must not start theirs.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

mapfile -t packages < <(missing | tr ' ' '\n')
[ "${#packages[@]}" = 0 ] && exit 0

if have apt-get && [ "$(id -u)" = 0 ]; then
    say "installing for the tests: ${packages[*]}"
    install "${packages[@]}" >&2 || say "warning: apt-get could not install them"
fi

mapfile -t packages < <(missing | tr ' ' '\n')
[ "${#packages[@]}" = 0 ] && exit 0
if [ "${CI:-}" = true ]; then
    say "error: not installed: ${packages[*]}"
    say "hint: apt-get install ${packages[*]}"
    exit 1
fi
say "note: not installed, their tests are skipped: ${packages[*]}"
