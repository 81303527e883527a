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

place=${CLOUDINIT_PLACE:-/var/tmp/pilotage-testbeds/cloudinit}
suite=${CLOUDINIT_SUITE:-bookworm}
root=$place/root-$suite
export DEBIAN_FRONTEND=noninteractive

lacks() { echo "$*"; exit 1; }

install_packages() {
    command -v mmdebstrap >/dev/null && return
    command -v apt-get >/dev/null || lacks "cloud-init (only Debian's can be installed here)"
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends mmdebstrap ||
        { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends mmdebstrap; } ||
        lacks "mmdebstrap, to make a root of Debian's $suite"
}

make_root() {
    [ -e "$root/.made" ] && return
    [ "$(id -u)" = 0 ] || lacks "root, to make a root of Debian"
    install_packages
    # shellcheck disable=SC2016  # a word of apt-get's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')
    [ -n "$mirror" ] || lacks "a mirror of Debian"
    rm -rf "$root"
    mkdir -p "$place"
    mmdebstrap --mode=root --variant=minbase --include=cloud-init,systemd,systemd-sysv,python3,ca-certificates,passwd \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$root" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" ||
        lacks "a root of Debian's $suite with cloud-init"
    touch "$root/.made"
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
    *) echo "usage: $0 [run FOLDER USERDATA]"; exit 2 ;;
esac
