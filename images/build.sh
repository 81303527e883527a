#!/bin/sh
# Builds a minimal image of a virtual machine that boots fast and becomes a pilot by cloud-init.
#
#   images/build.sh FOLDER [LAST]     makes what is missing there, up to the LAST of these, and prints where each is:
#     tree/                           the system, for systemd-nspawn
#     root.ext4 vmlinuz initrd.img    the same for QEMU without a boot loader: a file system, a kernel, what mounts one by
#                                     the other
#     disk.qcow2                      a disk with a boot loader, for OpenStack and every other cloud (20 GB, sparse)
#
#   IMAGE_SUITE       bookworm by default; any of Debian that the host's own keys vouch for
#   IMAGE_PACKAGES    further packages, separated by commas: openssh-server,apptainer
#
# Needs root, on Debian: mmdebstrap e2fsprogs, for the disk also syslinux syslinux-common mtools fdisk qemu-utils;
# what lacks is installed. Packages come from the mirror of the host's own lists. The last line says what is lacking, and
# the exit code is then 1.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=${IMAGE_SUITE:-bookworm}
export DEBIAN_FRONTEND=noninteractive

lacks() { echo "$*"; exit 1; }

install_packages() { # PROGRAM PACKAGE...: where the program is not there
    program=$1
    shift
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null && return
    command -v apt-get >/dev/null || lacks "$* (only Debian's can be installed here)"
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" ||
        { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@"; } ||
        lacks "$*"
}

# -- the system ---------------------------------------------------------------------------------------------------------
# What a pilot needs (cloud-init, systemd, Python, `ip` for the guard of the metadata service), a kernel, DHCP and names,
# the time, what makes the file system as large as the disk; busybox is for the initrd.
packages() {
    case $suite in
        bookworm) dhcp=isc-dhcp-client ;;
        *) dhcp=dhcpcd-base ;;
    esac
    system=systemd-sysv,systemd-timesyncd,systemd-resolved,udev,dbus,passwd,procps,netbase,kmod,iproute2,$dhcp
    disk=e2fsprogs,cloud-guest-utils,fdisk,busybox-static,linux-image-cloud-$(dpkg --print-architecture)
    echo "cloud-init,python3,ca-certificates,$system,$disk${IMAGE_PACKAGES:+,$IMAGE_PACKAGES}"
}

make_tree() {
    [ ! -e tree ] || return 0
    [ "$(id -u)" = 0 ] || lacks "root, to make a root of Debian"
    install_packages mmdebstrap mmdebstrap
    # shellcheck disable=SC2016  # a word of apt-get's
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$') ||
        lacks "a mirror of Debian"
    rm -rf unfinished
    # shellcheck disable=SC2016  # $1 is the hook's
    mmdebstrap --quiet --mode=root --variant=minbase --include="$(packages)" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="$here/customize.sh \"\$1\"" "$suite" unfinished \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" ||
        lacks "a root of Debian's $suite with cloud-init"
    mv unfinished tree
}

# -- for QEMU -----------------------------------------------------------------------------------------------------------
make_root() {
    [ ! -e root.ext4 ] || return 0
    install_packages mke2fs e2fsprogs
    cp tree/boot/vmlinuz-* vmlinuz
    "$here/initrd.sh" tree initrd.img || lacks "an initrd"
    file_system tree root.ext4.new
    mv root.ext4.new root.ext4
}

file_system() { # TREE FILE: without what a file system of one boot's life can do without
    megabytes=$(($(du -sm "$1" | cut -f 1) * 12 / 10 + 200))
    rm -f "$2"
    mke2fs -q -t ext4 -O ^has_journal -L root -E lazy_itable_init=1 -d "$1" "$2" "${megabytes}M"
}

# -- for clouds ---------------------------------------------------------------------------------------------------------
# A partition of 64 MB with the boot loader, kernel and initrd, and the system in another one, which cloud-init makes as
# large as the disk. Nothing is mounted.
make_disk() {
    [ ! -e disk.qcow2 ] || return 0
    install_packages syslinux syslinux syslinux-common
    install_packages mcopy mtools
    install_packages sfdisk fdisk
    install_packages qemu-img qemu-utils
    rm -f disk.raw
    size=$(($(stat -c %s root.ext4) / 1048576 + 67))
    truncate -s "${size}M" disk.raw
    printf 'label: dos\nstart=1MiB, size=64MiB, type=c, bootable\nstart=65MiB, type=83\n' | sfdisk -q disk.raw
    truncate -s 64M boot.fat
    mformat -i boot.fat -F -v boot ::
    printf '%s\n' 'DEFAULT linux' 'LABEL linux' ' LINUX vmlinuz' ' INITRD initrd.img' \
        ' APPEND root=LABEL=root console=tty0 console=ttyS0 net.ifnames=0 quiet systemd.show_status=true' >syslinux.cfg
    mcopy -i boot.fat vmlinuz initrd.img syslinux.cfg ::
    syslinux --install boot.fat
    dd if=/usr/lib/syslinux/mbr/mbr.bin of=disk.raw conv=notrunc bs=440 count=1 status=none
    dd if=boot.fat of=disk.raw conv=notrunc,sparse bs=1M seek=1 status=none
    dd if=root.ext4 of=disk.raw conv=notrunc,sparse bs=1M seek=65 status=none
    qemu-img convert -O qcow2 -c disk.raw disk.qcow2.new
    rm -f disk.raw boot.fat syslinux.cfg
    mv disk.qcow2.new disk.qcow2
}

case "$#${2:-disk.qcow2}" in
    [12]tree | [12]root.ext4 | [12]disk.qcow2) ;;
    *) echo "usage: $0 FOLDER [tree|root.ext4|disk.qcow2]"; exit 2 ;;
esac
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$1"
cd "$1"
make_tree
[ "${2:-}" = tree ] || make_root
[ "${2:-disk.qcow2}" != disk.qcow2 ] || make_disk
find "$PWD" -maxdepth 1 -mindepth 1 | sort
