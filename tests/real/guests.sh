#!/bin/sh
# Guests of this host, for tests: what runs them, and the project's own image.
#
#   tests/real/guests.sh nspawn     containers with an init of their own (the first time: some minutes for the image)
#   tests/real/guests.sh qemu       emulated machines
#
# Needs root, on Debian. The image is kept below /var/tmp/pilotage-testbeds/images; GUEST_IMAGES names another place.
# Nothing is left running: each test ends its own guests. The last line says what is lacking, and the exit code is then 1.
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
images=${GUEST_IMAGES:-/var/tmp/pilotage-testbeds/images}
export DEBIAN_FRONTEND=noninteractive

lacks() { echo "$*"; exit 1; }

install_packages() { # PROGRAM PACKAGE...: where the program is not there
    program=$1
    shift
    command -v "$program" >/dev/null && return
    command -v apt-get >/dev/null || lacks "$* (only Debian's can be installed here)"
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" ||
        { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@"; } ||
        lacks "$*"
}

kind=${1:-}
[ "$(id -u)" = 0 ] || lacks "root, to make an image and to run guests"
case $kind in
    nspawn)
        install_packages systemd-nspawn systemd-container
        install_packages ip iproute2
        last=tree
        ;;
    qemu)
        install_packages qemu-system-x86_64 qemu-system-x86 seabios
        install_packages qemu-img qemu-utils
        last=root.ext4
        ;;
    *) echo "usage: $0 nspawn|qemu"; exit 2 ;;
esac
# Two lanes may ask for the image at once.
mkdir -p "$images"
exec 9>"$images/lock"
flock 9
"$top/images/build.sh" "$images/bookworm" "$last"
