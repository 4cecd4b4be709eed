#!/usr/bin/env bash
# Several hosts on one machine: network namespaces with an address each, on one switch, each a node of one Ray
# cluster. As root:
#
#   experiments/hosts.sh up 3 400mbit        # three hosts, every uplink 400 Mbit/s (leave it out: no limit)
#   experiments/hosts.sh run python experiments/run_swarm.py --address auto --peers 6
#   experiments/hosts.sh cut 2 3             # hosts 2 and 3 reach each other only, until: experiments/hosts.sh heal
#   experiments/hosts.sh down
#
# `run` runs a command on the first host, the cluster's head. `cut` moves hosts to a switch of their own, so packets
# are lost without a word; to cut more groups, say it for each. `down` ends all that runs on the hosts, and only that.
set -euo pipefail

state=${MINIBIT_HOSTS:-/run/minibit-hosts}
name=$(basename "$state" | tr -dc 'a-z0-9' | tail -c 8) # of namespaces, so that two sets don't meet
net=10.213.0
bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin
[ -d "$bin" ] && PATH=$bin:$PATH

on() { # HOST COMMAND...: what every process of a host has in its environment
    local host=$1
    shift
    ip netns exec "$name-$host" env TMPDIR="$state/$host" RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$(cat "$state/token")" \
        RAY_ADDRESS="$net.1:6379" RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 \
        RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=40 RAY_gcs_rpc_server_reconnect_timeout_s=180 \
        "$@" # the last three: how long a host may be out of reach before Ray gives it up (docs/cluster.md)
}

up() {
    local count=$1 rate=${2:-} host starting=()
    [ -e "$state" ] && { echo "hosts: $state is there already: say down first" >&2; exit 1; }
    trap down ERR INT TERM
    mkdir -p -m 700 "$state"
    python3 -c 'import secrets; print(secrets.token_hex(32))' >"$state/token"
    ip netns add "$name-switch"
    ip -n "$name-switch" link add switch type bridge
    ip -n "$name-switch" link set switch up
    for host in $(seq "$count"); do
        mkdir "$state/$host"
        ip netns add "$name-$host"
        ip link add "to$host" netns "$name-switch" type veth peer name uplink netns "$name-$host"
        ip -n "$name-switch" link set "to$host" master switch up
        ip -n "$name-$host" link set lo up
        ip -n "$name-$host" link set uplink up
        ip -n "$name-$host" address add "$net.$host/24" dev uplink
        if [ -n "$rate" ]; then
            tc -n "$name-$host" qdisc add dev uplink root tbf rate "$rate" burst 1m latency 50ms
        fi
        if [ "$host" = 1 ]; then
            start 1 --head --port=6379 --include-dashboard=false
        else
            start "$host" --address="$net.1:6379" &
            starting+=($!)
        fi
    done
    for host in "${starting[@]}"; do wait "$host"; done
    trap - ERR INT TERM
}

start() { # HOST OPTIONS...
    on "$1" ray start --node-ip-address="$net.$1" --temp-dir="$state/$1/ray" --object-store-memory=100000000 "${@:2}" >"$state/$1.log" 2>&1 || {
        cat "$state/$1.log" >&2
        return 1
    }
}

cut() { # HOST...
    local host switch
    switch=cut$(ip -n "$name-switch" link show type bridge | grep -c "^[0-9]")
    ip -n "$name-switch" link add "$switch" type bridge
    ip -n "$name-switch" link set "$switch" up
    for host; do ip -n "$name-switch" link set "to$host" master "$switch"; done
}

heal() {
    local port
    for port in $(ip -n "$name-switch" -o link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
        ip -n "$name-switch" link set "$port" master switch
    done
    for port in $(ip -n "$name-switch" -o link show type bridge | sed -n 's/^[0-9]*: \(cut[0-9]*\).*/\1/p'); do
        ip -n "$name-switch" link del "$port"
    done
}

down() {
    trap - ERR INT TERM
    local spaces space
    spaces=$(ip netns list | awk -v name="$name" 'index($1, name "-") == 1 { print $1 }')
    for _ in $(seq 100); do # a process may start another while it is ended
        # shellcheck disable=SC2086
        kill -KILL $(for space in $spaces; do ip netns pids "$space"; done) 2>/dev/null || break
    done
    for space in $spaces; do ip netns del "$space"; done
    rm -rf "$state"
}

case ${1:-} in
up) up "${2:?how many hosts?}" "${3:-}" ;;
run) shift && on 1 "$@" ;;
cut) shift && cut "${@:?which hosts?}" ;;
heal) heal ;;
down) down ;;
*) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
