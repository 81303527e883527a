#!/bin/sh
# A guest of systemd-nspawn, in the folder of its machine: its root is a copy-on-write copy of the image, which is
# mounted for this process and its children alone. It is booted again when it asks for that.
#
#   boots.sh ARGUMENT...
set -eu
mount -t overlay overlay -o lowerdir=image,upperdir=upper,workdir=work root
code=133 # of systemd-nspawn: the guest reboots
while [ "$code" = 133 ]; do
    code=0
    systemd-nspawn "$@" || code=$?
done
exit "$code"
