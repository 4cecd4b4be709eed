#!/usr/bin/env bash
# Several hosts on one machine: network namespaces with an address each, on one switch, each a node of one Ray
# cluster, with a disk of its own at /data (in memory). As root:
#
#   experiments/hosts.sh up 3 400mbit        # three hosts, every uplink 400 Mbit/s (leave it out, or "": no limit)
#   experiments/hosts.sh up 3 400mbit 64m 300000000   # ... with 64 MiB at /data, and so many bytes for Ray's objects
#   experiments/hosts.sh run python experiments/run_swarm.py --address auto --peers 6
#   experiments/hosts.sh on 2 ls /data       # a command on any host
#   experiments/hosts.sh cut 2 3             # hosts 2 and 3 reach each other only, until: experiments/hosts.sh heal
#   experiments/hosts.sh kill 3              # a power cut; its disk stays, and `start 3` lets it join again
#   experiments/hosts.sh add                 # one more host joins; prints its number
#   experiments/hosts.sh down
#
# `run` runs a command on the first host, the cluster's head. `cut` moves hosts to a switch of their own, so packets
# are lost without a word; to cut more groups, say it for each. `kill` pulls the plug first, so nothing says goodbye.
# `down` ends all that runs on the hosts, and only that. Host N has the address 10.213.0.N, and MINIBIT_HOSTS/N/data is
# its disk from outside. MINIBIT_HOSTS (/run/minibit-hosts) is one set of hosts; there may be several.
set -euo pipefail

state=${MINIBIT_HOSTS:-/run/minibit-hosts}
name=$(basename "$state" | tr -dc 'a-z0-9' | tail -c 8) # of namespaces, so that two sets don't meet
net=10.213.0
made=/run/minibit-made-data # there if /data is ours to remove
bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin
[ -d "$bin" ] && PATH=$bin:$PATH

# its own disk at /data; and no raylet of another host, for a driver takes the first that it sees for that of its host
inside='mkdir -p /data && mount --bind "$0" /data
for process in $1; do mount -t tmpfs none "/proc/$process" 2>/dev/null || true; done
shift && exec "$@"'

raylets_beside() { # NAMESPACE: the raylets of all other hosts
    local space pid
    for space in $(ip netns list | awk -v name="$name" 'index($1, name "-") == 1 { print $1 }'); do
        [ "$space" = "$1" ] || for pid in $(ip netns pids "$space"); do
            [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != raylet ] || echo "$pid"
        done
    done
}

on() { # HOST COMMAND...: what every process of a host has in its environment, and as its disk
    local host=$1 others
    shift
    others=$(raylets_beside "$name-$host")
    ip netns exec "$name-$host" sh -c "$inside" "$state/$host/data" "$others" \
        env TMPDIR="$state/$host" RAY_AUTH_MODE=token RAY_AUTH_TOKEN="$(cat "$state/token")" \
        RAY_ADDRESS="$net.1:6379" RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 \
        RAY_health_check_timeout_ms="${RAY_health_check_timeout_ms:-2000}" \
        RAY_health_check_failure_threshold="${RAY_health_check_failure_threshold:-40}" \
        RAY_gcs_rpc_server_reconnect_timeout_s="${RAY_gcs_rpc_server_reconnect_timeout_s:-180}" \
        "$@" # the last three: how long a host may be out of reach before Ray gives it up (docs/cluster.md)
}

up() {
    local host starter starting=()
    [ -e "$state" ] && { echo "hosts: $state is there already: say down first" >&2; exit 1; }
    trap down ERR INT TERM
    mkdir -p -m 700 "$state"
    if mkdir /data 2>/dev/null; then touch "$made"; fi # another set may make it just now
    [ -d /data ]
    python3 -c 'import secrets; print(secrets.token_hex(32))' >"$state/token"
    printf 'rate=%q data=%q store=%q\n' "${2:-}" "${3:-1g}" "${4:-100000000}" >"$state/settings"
    ip netns add "$name-switch"
    ip -n "$name-switch" link add switch type bridge
    ip -n "$name-switch" link set switch up
    for host in $(seq "$1"); do
        make_disk "$host"
        start "$host" &
        starting+=($!)
        if [ "$host" = 1 ] || [ "${#starting[@]}" = 5 ] || [ "$host" = "$1" ]; then # with more at once Ray gives up some
            for starter in "${starting[@]}"; do wait "$starter"; done
            starting=()
        fi
    done
    trap - ERR INT TERM
}

make_disk() { # HOST
    local data
    source "$state/settings"
    mkdir -p "$state/$1/data"
    mount -t tmpfs -o "size=$data,mode=755" "$name-$1" "$state/$1/data"
}

start() { # HOST: plug it in, and let it join the cluster
    local rate store role=(--address="$net.1:6379")
    source "$state/settings"
    ip netns add "$name-$1"
    ip link add "to$1" netns "$name-switch" type veth peer name uplink \
        address "$(printf '02:00:00:00:00:%02x' "$1")" netns "$name-$1" # the same after a power cut
    ip -n "$name-switch" link set "to$1" master switch up
    ip -n "$name-$1" link set lo up
    ip -n "$name-$1" link set uplink up
    ip -n "$name-$1" address add "$net.$1/24" dev uplink
    if [ -n "$rate" ]; then
        tc -n "$name-$1" qdisc add dev uplink root tbf rate "$rate" burst 1m latency 50ms
    fi
    [ "$1" = 1 ] && role=(--head --port=6379 --include-dashboard=false)
    on "$1" ray start --node-ip-address="$net.$1" --temp-dir="$state/$1/ray" --object-store-memory="$store" \
        "${role[@]}" >"$state/$1.log" 2>&1 || {
        cat "$state/$1.log" >&2
        echo "hosts: Ray did not start on host $1: its log is above" >&2
        return 1
    }
}

add() {
    local host
    host=$(($(printf "%s\n" "$state"/*/data | wc -l) + 1))
    make_disk "$host"
    start "$host"
    echo "$host"
}

power_off() { # HOST
    ip -n "$name-switch" link del "to$1" # and with it the host's end
    end "$name-$1"
    rm -f "$state/$1/ray/ray_current_cluster" # else Ray takes the head of another set of hosts for its own, and won't start
}

end() { # NAMESPACE...
    local space
    for _ in $(seq 100); do # a process may start another while it is ended
        # shellcheck disable=SC2046
        kill -KILL $(for space; do ip netns pids "$space"; done) 2>/dev/null || break
    done
    for space; do ip netns del "$space"; done
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
    local disk
    # shellcheck disable=SC2046
    end $(ip netns list | awk -v name="$name" 'index($1, name "-") == 1 { print $1 }')
    for disk in "$state"/*/data; do umount -l "$disk" 2>/dev/null || true; done
    rm -rf "$state"
    if [ -e "$made" ] && ! ip netns list | grep -q -- -switch; then # no other set needs it
        rmdir --ignore-fail-on-non-empty /data && rm "$made"
    fi
}

case ${1:-} in
up) up "${2:?how many hosts?}" "${@:3}" ;;
run) shift && on 1 "$@" ;;
on) shift && on "${@:?which host?}" ;;
cut) shift && cut "${@:?which hosts?}" ;;
heal) heal ;;
kill) power_off "${2:?which host?}" ;;
start) start "${2:?which host?}" ;;
add) add ;;
down) down ;;
*) sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
