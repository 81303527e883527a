#!/bin/sh
# An EC2 on this machine: moto's server, in an environment of its own, and before it a proxy with the faults of the real
# one (tests/real/ec2_faults.py). Both on 127.0.0.1 alone.
#
#   tests/real/ec2.sh start    installs what is missing, starts both and waits until they answer
#   tests/real/ec2.sh stop     ends both
#
# The folder below, or EC2_PLACE, has the file `url` then. The last line says what is lacking, and the exit code is then 1.
set -eu

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
place=${EC2_PLACE:-/var/tmp/pilotage-testbeds/ec2}

answers() { "$place/venv/bin/python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)' "$1"; }

launch() { # NAME COMMAND...
    name=$1
    shift
    setsid "$@" >"$place/$name.log" 2>&1 </dev/null &
    echo $! >"$place/$name.pid"
}

start() {
    mkdir -p "$place"
    "$top/.venv/bin/python" -c 'import boto3' 2>/dev/null || lacks "boto3 in the environment of the tests"
    make_moto "$place/venv" "ec2,server"
    stop
    port=$(free_port 1)
    moto=http://127.0.0.1:$port
    launch moto "$place/venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    wait_for 30 answers "$moto/moto-api/data.json" || lacks "a moto that starts: $(tail -n 1 "$place/moto.log")"
    launch faults "$place/venv/bin/python" "$top/tests/real/ec2_faults.py" "$moto" "$place/port"
    wait_for 30 test -s "$place/port" || lacks "a proxy that starts: $(tail -n 1 "$place/faults.log")"
    url=http://127.0.0.1:$(cat "$place/port")
    wait_for 30 answers "$url/control" || lacks "a proxy that answers: $(tail -n 1 "$place/faults.log")"
    echo "$url" >"$place/url"
    echo "moto $("$place/venv/bin/python" -c 'import moto; print(moto.__version__)'), behind $url"
}

stop() {
    rm -f "$place/url" "$place/port"
    end_by_pidfile "$place/faults.pid" ec2_faults
    end_by_pidfile "$place/moto.pid" moto_server
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
