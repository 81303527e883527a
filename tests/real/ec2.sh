#!/bin/sh
# An EC2 on this machine: moto's server, in an environment of its own, and before it a proxy with the faults of the real
# one (tests/real/ec2_faults.py). Both on 127.0.0.1 alone.
#
#   tests/real/ec2.sh start    installs what is missing, starts both and waits until they answer
#   tests/real/ec2.sh stop     ends both
#
# The folder below, or EC2_PLACE, has the file `url` then. The last line says what is lacking, and the exit code is then 1.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd -P)
place=${EC2_PLACE:-/var/tmp/pilotage-testbeds/ec2}
packages="moto[ec2,server]>=5,<6"

lacks() { echo "$*"; exit 1; }

install() {
    [ -x "$place/venv/bin/moto_server" ] && return
    rm -rf "$place/venv"
    "${PYTHON:-$top/.venv/bin/python}" -m venv "$place/venv" || lacks "an environment for moto"
    "$place/venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check install "$packages" ||
        { rm -rf "$place/venv"; lacks "moto (pip could not install it)"; }
}

free_port() { "$place/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

answers() { "$place/venv/bin/python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1" 2>/dev/null; }

wait_for() { # URL PID LOG
    tries=0
    until answers "$1"; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$2" 2>/dev/null; then
            lacks "an EC2 that starts: $(tail -n 1 "$3")"
        fi
        sleep 0.2
    done
}

start() {
    mkdir -p "$place"
    "$top/.venv/bin/python" -c 'import boto3' 2>/dev/null || lacks "boto3 in the environment of the tests"
    install
    stop
    moto=http://127.0.0.1:$(free_port)
    setsid "$place/venv/bin/moto_server" -H 127.0.0.1 -p "${moto##*:}" >"$place/moto.log" 2>&1 </dev/null &
    echo $! >"$place/moto.pid"
    wait_for "$moto/moto-api/data.json" "$(cat "$place/moto.pid")" "$place/moto.log"
    setsid "$place/venv/bin/python" "$top/tests/real/ec2_faults.py" "$moto" "$place/port" >"$place/faults.log" 2>&1 </dev/null &
    echo $! >"$place/faults.pid"
    tries=0
    until [ -s "$place/port" ] || [ $tries -gt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
    url=http://127.0.0.1:$(cat "$place/port" 2>/dev/null || lacks "a proxy that starts: $(tail -n 1 "$place/faults.log")")
    wait_for "$url/control" "$(cat "$place/faults.pid")" "$place/faults.log"
    echo "$url" >"$place/url"
    echo "moto $("$place/venv/bin/python" -c 'import moto; print(moto.__version__)'), behind $url"
}

end_one() { # NAME WHAT
    [ -s "$place/$1.pid" ] || return 0
    pid=$(cat "$place/$1.pid")
    rm -f "$place/$1.pid"
    # Only what this script started: a number may be another's by now.
    grep -q "$2" "/proc/$pid/cmdline" 2>/dev/null || return 0
    kill "$pid" 2>/dev/null || return 0
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || return 0
}

stop() {
    rm -f "$place/url" "$place/port"
    end_one faults ec2_faults
    end_one moto moto_server
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
