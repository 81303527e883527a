#!/bin/sh
# A real S3 server on this machine: moto's, over TLS with an authority of its own, in an environment of its own in .lanes/s3.
#
#   tests/real/s3.sh start    makes what is missing, starts the server and waits until it answers
#   tests/real/s3.sh stop     ends it
#
# .lanes/s3/url says where it is, .lanes/s3/ca.pem whom to trust. Says in its last line what it lacks, and exits 1.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd -P)
place=$top/.lanes/s3
packages="moto[s3,server]>=5,<6"

lacks() { echo "$*"; exit 1; }

install() {
    [ -x "$place/venv/bin/moto_server" ] && return
    rm -rf "$place/venv"
    "${PYTHON:-$top/.venv/bin/python}" -m venv "$place/venv" || lacks "an environment for moto"
    "$place/venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check install "$packages" ||
        { rm -rf "$place/venv"; lacks "moto (pip could not install it)"; }
}

certify() {
    [ -s "$place/server.pem" ] && openssl x509 -in "$place/server.pem" -noout -checkend 86400 >/dev/null && return
    command -v openssl >/dev/null || lacks "openssl, to make a certificate"
    cd "$place"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Test authority' -keyout ca.key -out ca.pem \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=127.0.0.1' -keyout server.key -out server.csr 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >extensions
    openssl x509 -req -days 20 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -extfile extensions 2>/dev/null
    rm -f server.csr extensions
    cd "$top"
}

free_port() { "$place/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

answers() {
    "$place/venv/bin/python" - "$1" "$place/ca.pem" <<'PY' 2>/dev/null
import ssl, sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/moto-api/data.json", context=ssl.create_default_context(cafile=sys.argv[2]), timeout=5)
PY
}

start() {
    mkdir -p "$place"
    install
    certify
    stop
    port=$(free_port)
    setsid "$place/venv/bin/moto_server" -H 127.0.0.1 -p "$port" --ssl -c "$place/server.pem" -k "$place/server.key" \
        >"$place/log" 2>&1 </dev/null &
    echo $! >"$place/pid"
    url=https://127.0.0.1:$port
    tries=0
    until answers "$url"; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$(cat "$place/pid")" 2>/dev/null; then
            lacks "a moto that starts: $(tail -n 1 "$place/log")"
        fi
        sleep 0.2
    done
    echo "$url" >"$place/url"
    echo "moto $("$place/venv/bin/python" -c 'import moto; print(moto.__version__)') at $url"
}

stop() {
    [ -s "$place/pid" ] || return 0
    pid=$(cat "$place/pid")
    rm -f "$place/pid" "$place/url"
    # Only what this script started: a number may be another's by now.
    grep -q moto_server "/proc/$pid/cmdline" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || return 0
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || return 0
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
