#!/bin/sh
# Guests of this host, for tests: what runs them, and the project's own image.
#
#   tests/real/guests.sh nspawn     containers with an init of their own (the first time: some minutes for the image)
#   tests/real/guests.sh qemu       emulated machines
#
# Needs root, on Debian. The image is kept below /var/tmp/pilotage-testbeds/images; GUEST_IMAGES names another place.
# Nothing is left running: each test ends its own guests. The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd)
images=${GUEST_IMAGES:-/var/tmp/pilotage-testbeds/images}

case ${1:-} in
    nspawn) packages="systemd-container iproute2 nftables" last=tree ;;
    qemu) packages="qemu-system-x86 seabios qemu-utils" last=root.ext4 ;;
    *) usage ;;
esac
needs_root "to make an image and to run guests"
# shellcheck disable=SC2086  # a list of words
install_packages "guests of the kind $1" $packages
# Two lanes may ask for the image at once.
mkdir -p "$images"
exec 9>"$images/lock"
flock 9
"$top/images/build.sh" "$images/bookworm" "$last"
