#!/bin/sh
# A real cloud-init: a root of Debian with cloud-init and systemd, in which user-data goes through all four stages.
#
#   tests/real/cloudinit.sh                      makes the root (the first time: a minute or two) and prints where it is
#   tests/real/cloudinit.sh run FOLDER USERDATA  runs the stages on a copy of it that is thrown away: what they wrote is
#                                                then in FOLDER, with what systemctl was told in FOLDER/systemctl
#
# The stages run in namespaces of their own, without a network. Needs root. The last line says what is lacking, and the
# exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${CLOUDINIT_PLACE:-/var/tmp/pilotage-testbeds/cloudinit}
suite=${CLOUDINIT_SUITE:-bookworm}
root=$place/root-$suite

make_root() {
    debian_root cloud-init "$root" "$suite" cloud-init,systemd,systemd-sysv,python3,ca-certificates,passwd
}

run() { # FOLDER USERDATA
    mkdir -p "$1/upper" "$1/work" "$1/merged"
    seed=$1/upper/var/lib/cloud/seed/nocloud
    mkdir -p "$seed" "$1/upper/etc/cloud/cloud.cfg.d" "$1/upper/usr/bin"
    cp "$2" "$seed/user-data"
    printf 'instance-id: i-1\nlocal-hostname: machine\n' >"$seed/meta-data"
    : >"$seed/vendor-data"
    # A small system, without what some modules would make.
    printf '%s\n' 'datasource_list: [NoCloud]' 'network: {config: disabled}' 'locale: false' 'ssh_genkeytypes: []' \
        'resize_rootfs: false' >"$1/upper/etc/cloud/cloud.cfg.d/99_test.cfg"
    # There is no init here to be told.
    printf '#!/bin/sh\necho "$*" >>/run/systemctl\n' >"$1/upper/usr/bin/systemctl"
    chmod 755 "$1/upper/usr/bin/systemctl"
    # shellcheck disable=SC2016  # the inner shell's
    unshare --mount --pid --fork --uts --ipc --net sh -eu -c '
        mount --make-rprivate /
        mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
        cd "$2/merged"
        mount -t proc proc proc
        mount -t tmpfs tmpfs run
        mount -t tmpfs tmpfs dev
        for device in null zero full random urandom tty; do
            : >"dev/$device"
            mount --bind "/dev/$device" "dev/$device"
        done
        ln -s /proc/self/fd dev/fd
        for stage in "init --local" init "modules --mode=config" "modules --mode=final"; do
            chroot . cloud-init $stage >>"$2/stages.log" 2>&1 || echo "the stage $stage failed: $?" >>"$2/failed"
        done
        cp run/systemctl "$2/systemctl"
        cp -a run "$2/run"
        cp run/cloud-init/result.json "$2/result.json"
    ' sh "$root" "$1"
}

case "${1:-make}" in
    make) make_root && echo "$root" ;;
    run) run "$2" "$3" ;;
    *) usage ;;
esac
