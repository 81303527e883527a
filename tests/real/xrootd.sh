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

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
link=$top/.lanes/xrootd
place=/opt/pilotage-lanes/xrootd # where another user than root reaches it
user=pilotage-test

trust() { # as clients of the grid look for an authority
    certify "$place"
    rm -rf "$place/certs"
    mkdir "$place/certs"
    cp "$place/ca.pem" "$place/certs"
    ln -s ca.pem "$place/certs/$(openssl x509 -in "$place/ca.pem" -noout -subject_hash).0"
}

configure() {
    cat >"$place/xrootd.cfg" <<END
all.adminpath $place/adm
all.pidpath $place/run
oss.localroot $place/root
all.export /data
xrd.port $1
xrd.network nodnr
xrd.allow host *
xrd.tls $place/server.pem $place/server.key
xrd.tlsca certdir $place/certs
xrootd.async off
xrootd.chksum max 2 adler32
xrd.protocol XrdHttp:$1 libXrdHttp.so
http.listingdeny no
http.desthttps yes
END
}

start() {
    needs_root "to install XRootD and to run it as another user"
    install_packages XRootD xrootd-server xrootd-client xrootd-plugins xrootd-server-plugins openssl curl
    make_user "$user"
    stop
    mkdir -p "$top/.lanes" "$place/root/data" "$place/run" "$place/adm" "$place/log"
    chmod 755 "$(dirname "$place")" "$place"
    [ "$(readlink "$link" 2>/dev/null)" = "$place" ] || { rm -rf "$link"; ln -s "$place" "$link"; }
    trust
    port=$(free_port 1)
    configure "$port"
    rm -rf "$place/root/data"
    mkdir "$place/root/data"
    chown -R "$user:" "$place"
    chmod 400 "$place/server.key"
    (cd "$place" && setpriv --reuid="$user" --regid="$user" --clear-groups xrootd -b -c "$place/xrootd.cfg" \
        -l "$place/log/xrootd.log" -s "$place/run/xrootd.pid" >/dev/null 2>&1) || lacks "an xrootd that starts"
    wait_for 30 curl -sf --cacert "$place/certs/ca.pem" "https://localhost:$port/data/" ||
        lacks "an xrootd that answers: $(tail -n 1 "$place/log/xrootd.log")"
    echo "$port" >"$place/port"
    echo "XRootD $(xrootd -v 2>&1 | head -n 1) at port $port"
}

stop() {
    rm -f "$place/port"
    end_by_pidfile "$place/run/xrootd.pid" xrootd
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
