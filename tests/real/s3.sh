#!/bin/sh
# A real S3 server on this machine: moto's, over TLS with an authority of its own, in an environment of its own in .lanes/s3.
#
#   tests/real/s3.sh start    makes what is missing, starts the server and waits until it answers
#   tests/real/s3.sh stop     ends it
#
# .lanes/s3/url says where it is, .lanes/s3/ca.pem whom to trust. Says in its last line what it lacks, and exits 1.
set -eu

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
place=$top/.lanes/s3

answers() {
    "$place/venv/bin/python" - "$1" "$place/ca.pem" <<'PY' 2>/dev/null
import ssl, sys, urllib.request
urllib.request.urlopen(sys.argv[1] + "/moto-api/data.json", context=ssl.create_default_context(cafile=sys.argv[2]), timeout=5)
PY
}

start() {
    mkdir -p "$place"
    make_moto "$place/venv" "s3,server"
    certify "$place"
    stop
    port=$(free_port 1)
    setsid "$place/venv/bin/moto_server" -H 127.0.0.1 -p "$port" --ssl -c "$place/server.pem" -k "$place/server.key" \
        >"$place/log" 2>&1 </dev/null &
    echo $! >"$place/pid"
    url=https://127.0.0.1:$port
    wait_for 30 answers "$url" || lacks "a moto that starts: $(tail -n 1 "$place/log")"
    echo "$url" >"$place/url"
    echo "moto $("$place/venv/bin/python" -c 'import moto; print(moto.__version__)') at $url"
}

stop() {
    rm -f "$place/url"
    end_by_pidfile "$place/pid" "$place/venv/bin/moto_server"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
