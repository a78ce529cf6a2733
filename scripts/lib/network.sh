# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Networks of a test's own: one for a script whose ports are fixed, or two hosts on one machine.

# own_network --net [--mount]: starts the script again in its own network, where all ports are free, and, with --mount,
# with its own mounts. Downloads must be done before.
own_network() {
    local options=("$@")
    if [ -n "${OWN_NETWORK:-}" ]; then
        ip link set lo up
        return
    fi
    [ "$(id -u)" = 0 ] || options+=(--map-root-user)
    OWN_NETWORK=yes exec unshare "${options[@]}" bash "$0"
}

HOST_A=atecc608-a-$$ HOST_B=atecc608-b-$$
# shellcheck disable=SC2034  # for the scripts that read this file
ADDRESS_A=10.99.0.1 ADDRESS_B=10.99.0.2

# two_hosts: network namespaces with a cable between them, HOST_A and HOST_B with ADDRESS_A and ADDRESS_B, on the interface
# eth0 of each. After open_work_folder, whose clean-up they join.
two_hosts() {
    [ "$(id -u)" = 0 ] || die 'this creates network namespaces: run it as root'
    export HOST_A HOST_B
    trap 'status=$?; stop_servers; ip netns del $HOST_A; ip netns del $HOST_B; (exit $status); close_work_folder' EXIT
    run 'ip netns add $HOST_A && ip netns add $HOST_B'
    run 'ip -n $HOST_A link add eth0 type veth peer name eth0 netns $HOST_B'
    run "ip -n \$HOST_A address add $ADDRESS_A/24 dev eth0 && ip -n \$HOST_B address add $ADDRESS_B/24 dev eth0"
    run 'for host in $HOST_A $HOST_B; do ip -n $host link set lo up; ip -n $host link set eth0 up; done'
}
