#!/bin/sh
# A real XRootD on this machine: root:// and davs:// on one port, with TLS from an authority of its own, for a folder that
# anybody may write to. Debian's packages are installed where they are missing; nothing is started at boot.
#
#   tests/real/xrootd.sh start    installs, starts, waits until it answers
#   tests/real/xrootd.sh stop     ends it
#
# .lanes/xrootd/port says where it is, .lanes/xrootd/certs/ca.pem whom to trust, .lanes/xrootd/root/data is what it shows.
# Says in its last line what it lacks, and exits 1.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd -P)
link=$top/.lanes/xrootd
place=/opt/pilotage-lanes/xrootd # where another user than root reaches it
user=pilotage-test

lacks() { echo "$*"; exit 1; }

install_packages() {
    missing=
    for package in xrootd-server xrootd-client xrootd-plugins xrootd-server-plugins openssl curl; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || lacks "XRootD (only Debian's can be installed here)"
    # shellcheck disable=SC2086  # a list of words
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $missing ||
        { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $missing; } ||
        lacks "XRootD (the packages$missing could not be had)"
}

certify() {
    [ -s "$place/host.pem" ] && openssl x509 -in "$place/host.pem" -noout -checkend 86400 >/dev/null && return
    rm -rf "$place/certs"
    mkdir -p "$place/certs"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Test authority' -keyout "$place/ca.key" \
        -out "$place/certs/ca.pem" -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
    ln -s ca.pem "$place/certs/$(openssl x509 -in "$place/certs/ca.pem" -noout -subject_hash).0"
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout "$place/host.key" -out "$place/host.csr" 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$place/extensions"
    openssl x509 -req -days 20 -in "$place/host.csr" -CA "$place/certs/ca.pem" -CAkey "$place/ca.key" -CAcreateserial \
        -out "$place/host.pem" -extfile "$place/extensions" 2>/dev/null
}

free_port() { "${PYTHON:-$top/.venv/bin/python}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

configure() {
    cat >"$place/xrootd.cfg" <<END
all.adminpath $place/adm
all.pidpath $place/run
oss.localroot $place/root
all.export /data
xrd.port $1
xrd.network nodnr
xrd.allow host *
xrd.tls $place/host.pem $place/host.key
xrd.tlsca certdir $place/certs
xrootd.async off
xrootd.chksum max 2 adler32
xrd.protocol XrdHttp:$1 libXrdHttp.so
http.listingdeny no
http.desthttps yes
END
}

start() {
    [ "$(id -u)" = 0 ] || lacks "root, to install XRootD and to run it as another user"
    install_packages
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user" || lacks "a user for XRootD"
    stop
    mkdir -p "$top/.lanes" "$place/root/data" "$place/run" "$place/adm" "$place/log"
    chmod 755 "$(dirname "$place")" "$place"
    [ "$(readlink "$link" 2>/dev/null)" = "$place" ] || { rm -rf "$link"; ln -s "$place" "$link"; }
    certify
    port=$(free_port)
    configure "$port"
    rm -rf "$place/root/data"
    mkdir "$place/root/data"
    chown -R "$user:" "$place"
    chmod 400 "$place/host.key"
    (cd "$place" && setpriv --reuid="$user" --regid="$user" --clear-groups xrootd -b -c "$place/xrootd.cfg" \
        -l "$place/log/xrootd.log" -s "$place/run/xrootd.pid" >/dev/null 2>&1) || lacks "an xrootd that starts"
    tries=0
    until curl -sf --cacert "$place/certs/ca.pem" "https://localhost:$port/data/" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || lacks "an xrootd that answers: $(tail -n 1 "$place/log/xrootd.log")"
        sleep 0.2
    done
    echo "$port" >"$place/port"
    echo "XRootD $(xrootd -v 2>&1 | head -n 1) at port $port"
}

stop() {
    rm -f "$place/port"
    [ -s "$place/run/xrootd.pid" ] || return 0
    pid=$(cat "$place/run/xrootd.pid")
    rm -f "$place/run/xrootd.pid"
    grep -q xrootd "/proc/$pid/cmdline" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || return 0
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || return 0
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
