#!/bin/sh
# An LXD on this machine, in a network namespace of its own, with the project's image; and a Python that has pycloudlib.
#
#   tests/real/lxd.sh start    installs what is missing, starts LXD and waits until it answers
#   tests/real/lxd.sh stop     deletes its machines and ends it
#
# Needs root, on Debian. Below /var/tmp/pilotage-testbeds/lxd, or LXD_PLACE, are `daemon` (LXD_DIR), `client` (LXD_CONF)
# and `python`. The first time takes many minutes: the image, and a hundred packages beside pycloudlib. LXD has the image
# bookworm, the network lxdbr0 without a way out, and the profiles default and small. The last line says what is lacking,
# and the exit code is then 1.
set -eu

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"

top=$(cd "$here/../.." && pwd -P)
place=${LXD_PLACE:-/var/tmp/pilotage-testbeds/lxd}
images=${GUEST_IMAGES:-/var/tmp/pilotage-testbeds/images}
space=pilotage-lxd
export LXD_DIR="$place/daemon" LXD_CONF="$place/client"

lxc() { timeout 60 lxc "$@"; }

# An environment apart, since what pycloudlib pins may be at odds with what is pinned here; it sees the environment of the
# tests behind its own.
install_pycloudlib() {
    [ ! -e "$place/python/.made" ] || return 0
    ours=${PYTHON:-$top/.venv/bin/python}
    # What was broken off goes on where it was.
    [ -x "$place/python/bin/pip" ] || "$ours" -m venv "$place/python" || lacks "an environment for pycloudlib"
    # Later clients of OpenStack want a later SDK than pycloudlib; pip would try them all.
    "$place/python/bin/python" -m pip --quiet --no-input --disable-pip-version-check install --no-compile \
        pycloudlib 'python-openstackclient<6.3' || lacks "pycloudlib (pip could not install it)"
    "$ours" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$place/python/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
    touch "$place/python/.made"
}

# What is in the namespace must see its own interfaces in /sys, and the control groups of this machine.
run_lxd() {
    ip netns list | grep -qw "$space" || ip netns add "$space"
    ip -n "$space" link set lo up
    # shellcheck disable=SC2016  # variables of the inner shell
    setsid nsenter --net="/run/netns/$space" unshare --mount sh -c '
        mkdir -p "$1/groups"
        mount --rbind /sys/fs/cgroup "$1/groups"
        mount -t sysfs none /sys
        mount --rbind "$1/groups" /sys/fs/cgroup
        exec lxd --group root' lxd "$place" >"$place/lxd.log" 2>&1 </dev/null &
    echo $! >"$place/lxd.pid"
    timeout 90 lxd waitready --timeout=60 || lacks "an LXD that starts: $(tail -n 1 "$place/lxd.log")"
}

answers() { timeout 5 lxd waitready --timeout=2 >/dev/null 2>&1; }

set_up() {
    lxc storage show default >/dev/null 2>&1 || lxd init --preseed <<END
storage_pools: [{name: default, driver: dir}]
networks: [{name: lxdbr0, type: bridge, config: {ipv4.address: 10.88.0.1/24, ipv4.nat: 'false', ipv6.address: none}}]
profiles:
  - name: default
    config: {security.privileged: 'true'}
    devices:
      root: {path: /, pool: default, type: disk}
      eth0: {name: eth0, network: lxdbr0, type: nic}
  - name: small
    config: {limits.cpu: '1', limits.memory: 512MiB}
END
    lxc image info bookworm >/dev/null 2>&1 || import_image
}

# An image of LXD's: what it is, how a seed for cloud-init is made of a machine's settings, and the system.
import_image() {
    work=$place/image
    rm -rf "$work"
    mkdir -p "$work/templates"
    cat >"$work/metadata.yaml" <<END
architecture: $(uname -m)
creation_date: 1700000000
properties: {description: pilotage's own, os: debian, release: bookworm}
templates:
  /var/lib/cloud/seed/nocloud-net/meta-data: {when: [create, copy, start], template: meta-data.tpl}
  /var/lib/cloud/seed/nocloud-net/user-data: {when: [create, copy, start], template: user-data.tpl}
END
    printf 'instance-id: {{ container.name }}\nlocal-hostname: {{ container.name }}\n' >"$work/templates/meta-data.tpl"
    printf '{{ config_get("user.user-data", "") }}' >"$work/templates/user-data.tpl"
    tar -czf "$work/what.tar.gz" -C "$work" metadata.yaml templates
    tar -cf "$work/system.tar" --exclude=./lib/modules --exclude=./usr/lib/modules --exclude=./boot \
        -C "$images/bookworm/tree" .
    timeout 300 lxc image import "$work/what.tar.gz" "$work/system.tar" --alias bookworm || lacks "an image of LXD's"
    rm -rf "$work"
}

start() {
    needs_root "to run an LXD"
    install_packages LXD lxd lxd-client iptables dnsmasq-base iproute2
    mkdir -p "$LXD_DIR" "$LXD_CONF"
    install_pycloudlib
    "$here/guests.sh" nspawn
    answers || run_lxd
    set_up || lacks "an LXD that can be set up"
    echo "LXD $(lxc query /1.0 | grep -o '"server_version": "[^"]*"'), pycloudlib $(version)"
}

version() { "$place/python/bin/python" -c 'from importlib.metadata import version; print(version("pycloudlib"))'; }

stop() {
    # A test that was broken off may have left it standing still.
    [ ! -s "$place/lxd.pid" ] || kill -CONT "$(cat "$place/lxd.pid")" 2>/dev/null || :
    if answers; then
        for machine in $(lxc list --format csv --columns n 2>/dev/null); do
            timeout 20 lxc delete --force "$machine" || :
        done
        timeout 15 lxd shutdown --timeout 10 || :
    fi
    end_by_pidfile "$place/lxd.pid" "lxd --group root" 5
    ip netns delete "$space" 2>/dev/null || :
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
