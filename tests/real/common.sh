# What the scripts of this folder share. One begins with
#
#   here=$(dirname "$0")
#   # shellcheck source=tests/real/common.sh
#   . "$here/common.sh"
#
# and has then, in POSIX sh, with `set -e` or without:
#
#   lacks WORDS...                        says what is lacking, as the last line, and ends the script with code 1
#   usage                                 prints the comment at the script's head, and ends it with code 2
#   needs_root WHY                        lacks "root, WHY" for anybody else
#   wait_for SECONDS COMMAND...           repeats it until it succeeds; a program has 5 s each time, a function of the
#                                         script is to end by itself. Fails when the time is over
#   install_packages WHAT PACKAGE...      installs those of Debian's packages that are missing; nothing of them is started
#   make_user NAME                        an ordinary user with a home
#   end_process PID [SECONDS]             asks it to end, waits (10 s), kills it
#   end_by_pidfile FILE WORD [SECONDS]    the same by a file, which goes; WORD is in the command line of what is meant
#   free_port COUNT                       prints a port of this machine that nobody listens at, the first of COUNT such
#   make_moto FOLDER EXTRAS               a Python environment with moto, an AWS for tests, once; EXTRAS with commas
#   certify FOLDER                        ca.pem, and server.pem with server.key for localhost, all for some weeks
#   debian_mirror WHAT                    prints where this Debian comes from
#   debian_root WHAT ROOT SUITE PACKAGES [OPTIONS...]
#                                         makes a small root of Debian's, once; PACKAGES with commas, OPTIONS mmdebstrap's
#
# WHAT is a phrase: what the script cannot do without it.
# shellcheck shell=sh
export DEBIAN_FRONTEND=noninteractive

lacks() { echo "$*"; exit 1; }

usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; exit 2; }

needs_root() { [ "$(id -u)" = 0 ] || lacks "root, $*"; }

wait_for() { # SECONDS COMMAND...
    end=$(($(date +%s) + $1))
    shift
    case $(command -v "$1") in /*) set -- timeout 5 "$@" ;; esac
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# --- Packages ---------------------------------------------------------------------------------------------------------

install_packages() { # WHAT PACKAGE...
    what=$1 missing=
    shift
    for package; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || lacks "$what (only Debian's can be installed here)"
    needs_root "to install$missing"
    # shellcheck disable=SC2086  # a list of words
    ( # one script after the other: they share a file
        flock 9
        starting_nothing
        install_now $missing || { apt-get -q update && install_now $missing; }
    ) 9>/run/pilotage-packages.lock || lacks "$what (the packages$missing could not be had)"
}

install_now() { apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@"; }

# Packages ask this file whether their daemons may be started.
starting_nothing() {
    policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

debian_mirror() { # WHAT
    # shellcheck disable=SC2016  # a word of apt-get's
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m 1 '/debian/*$' ||
        lacks "$1 (apt knows no mirror of Debian to have it from)"
}

make_moto() { # FOLDER EXTRAS
    [ ! -x "$1/bin/moto_server" ] || return 0
    rm -rf "$1"
    "${PYTHON:-${top:?}/.venv/bin/python}" -m venv "$1" || lacks "an environment for moto"
    "$1/bin/python" -m pip --quiet --no-input --disable-pip-version-check install "moto[$2]>=5,<6" ||
        { rm -rf "$1"; lacks "moto (pip could not install it)"; }
}

# The clock here may be past what the suite's index is good for.
debian_root() { # WHAT ROOT SUITE PACKAGES [OPTIONS...]
    what=$1 root=$2 suite=$3 packages=$4
    shift 4
    [ ! -e "$root/.made" ] || return 0
    needs_root "to make a root of Debian"
    command -v mmdebstrap >/dev/null || install_packages "$what" mmdebstrap
    mirror=$(debian_mirror "$what") || lacks "$mirror"
    rm -rf "$root"
    mkdir -p "$(dirname "$root")"
    mmdebstrap --mode=root --variant=minbase --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$@" "$suite" "$root" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" ||
        lacks "$what (a root of Debian's $suite could not be made)"
    touch "$root/.made"
}

# --- Users, processes, ports ------------------------------------------------------------------------------------------

make_user() { # NAME
    id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1" || lacks "an ordinary user, $1"
}

gone() { ! kill -0 "$1" 2>/dev/null; }

end_process() { # PID [SECONDS]
    kill "$1" 2>/dev/null || return 0
    wait_for "${2:-10}" gone "$1" || kill -KILL "$1" 2>/dev/null || return 0
}

end_by_pidfile() { # FILE WORD [SECONDS]
    [ -s "$1" ] || return 0
    pid=$(cat "$1")
    # A number in an old file may be another's by now.
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -e "$2"; then end_process "$pid" "${3:-10}"; fi
    rm -f "$1"
}

free_port() { # COUNT
    port=$(awk -v seed="$(od -An -N4 -tu4 /dev/urandom)" 'BEGIN { srand(seed); print 20000 + int(rand() * 12000) }')
    while ss -Hltn "( sport >= :$port and sport <= :$((port + $1 - 1)) )" | grep -q .; do port=$((port + $1)); done
    echo "$port"
}

# --- Certificates -----------------------------------------------------------------------------------------------------

certify() { # FOLDER
    openssl x509 -in "$1/server.pem" -noout -checkend 86400 >/dev/null 2>&1 && return
    command -v openssl >/dev/null || lacks "openssl, to make a certificate"
    mkdir -p "$1"
    {
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Test authority' -keyout "$1/ca.key" -out "$1/ca.pem" \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign &&
            openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout "$1/server.key" -out "$1/server.csr" &&
            echo subjectAltName=DNS:localhost,IP:127.0.0.1 >"$1/extensions" &&
            openssl x509 -req -days 20 -in "$1/server.csr" -CA "$1/ca.pem" -CAkey "$1/ca.key" -CAcreateserial \
                -out "$1/server.pem" -extfile "$1/extensions"
    } 2>/dev/null || lacks "an openssl that makes certificates"
    rm -f "$1/server.csr" "$1/extensions"
}
