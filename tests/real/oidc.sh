#!/bin/sh
# A real OpenID Connect provider on this machine: Django with django-oauth-toolkit (oidc_provider.py), over TLS with an
# authority of its own.
#
#   tests/real/oidc.sh start     makes what is missing, starts the provider and waits until it answers
#   tests/real/oidc.sh rotate    gives it another signing key; it is started again at the same address
#   tests/real/oidc.sh stop      ends it
#
# All is in OIDC_PLACE (/var/tmp/pilotage-testbeds/oidc): url says where it is, ca.pem whom to trust. Says in its last line
# what it lacks, and exits 1.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
top=$(cd "$here/../.." && pwd -P)
place=${OIDC_PLACE:-/var/tmp/pilotage-testbeds/oidc}
venv=$place/venv

make_environment() {
    [ ! -e "$venv/.made" ] || return 0
    rm -rf "$venv"
    "${PYTHON:-$top/.venv/bin/python}" -m venv "$venv" || lacks "an environment for Django"
    "$venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check install \
        "django-oauth-toolkit>=3.4,<3.5" "oauthlib<4" || # oauthlib 4 answers codes with more than it can take
        lacks "django-oauth-toolkit (pip could not install it)"
    touch "$venv/.made"
}

answers() {
    "$venv/bin/python" - "$1" "$place/ca.pem" <<'PY' 2>/dev/null
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2])
urllib.request.urlopen(sys.argv[1] + "/.well-known/openid-configuration", context=context, timeout=5)
PY
}

make_key() { openssl genrsa -out "$place/signing.pem" 2048 2>/dev/null || lacks "an openssl that makes keys"; }

serve() { # PORT
    setsid "$venv/bin/python" "$here/oidc_provider.py" serve "$place" "$1" >"$place/log" 2>&1 </dev/null &
    echo $! >"$place/pid"
    url=https://localhost:$1/o
    wait_for 30 answers "$url" || lacks "a provider that starts: $(tail -n 1 "$place/log")"
    echo "$url" >"$place/url"
    echo "django-oauth-toolkit at $url"
}

start() {
    mkdir -p "$place"
    stop
    make_environment
    certify "$place"
    make_key
    rm -f "$place/provider.db"
    # The tables take the longest: they are made once for each version of the script.
    prepared=$place/prepared-$(sha256sum "$here/oidc_provider.py" | cut -c 1-16).db
    if [ ! -e "$prepared" ]; then
        "$venv/bin/python" "$here/oidc_provider.py" prepare "$place" || lacks "a provider that can be prepared"
        rm -f "$place"/prepared-*.db
        mv "$place/provider.db" "$prepared"
    fi
    cp "$prepared" "$place/provider.db"
    free_port 1 >"$place/port"
    serve "$(cat "$place/port")"
}

rotate() {
    stop
    make_key
    serve "$(cat "$place/port")"
}

stop() {
    rm -f "$place/url"
    end_by_pidfile "$place/pid" oidc_provider.py
}

case ${1:-} in
    start) start ;;
    rotate) rotate ;;
    stop) stop ;;
    *) usage ;;
esac
