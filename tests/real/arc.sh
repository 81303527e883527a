#!/bin/sh
# A real ARC computing element on this machine: A-REX with its REST interface, over a Slurm of its own, with a test CA.
#
#   tests/real/arc.sh start      installs what is missing (Debian's packages), starts, waits until it answers
#   tests/real/arc.sh down       ends A-REX alone; its jobs go on
#   tests/real/arc.sh up         starts it again
#   tests/real/arc.sh stop       ends every process that it started
#   tests/real/arc.sh env        prints what clients need: eval "$(tests/real/arc.sh env)"
#
# Nothing is started at boot, and nothing is in /etc but, while it runs, links to the test CA: that whoever issues tokens
# is known by its certificate ARC looks up there alone. ARC_INFO: seconds between two rounds of its information system, which
# the states and exit codes of jobs come from; 60 where nothing is said, as in ARC's own start scripts.
# Needs root. The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${ARC_PLACE:-/var/tmp/pilotage-testbeds/arc}
port=${ARC_PORT:-28443}
user=${ARC_USER_OF_JOBS:-pilotage-test}
info=${ARC_INFO:-3}
certificates=$place/certificates
export SLURM_PLACE="$place/slurm" SLURM_PORT=$((port + 100)) SLURM_CONFINE=0 SLURM_CPUS=8 SLURM_MEMORY=8000
export SLURM_USER_OF_JOBS="$user"

# --- What is written down ---------------------------------------------------------------------------------------------

certificate() { # NAME SUBJECT EXTENSIONS...
    name=$1 subject=$2
    shift 2
    printf '%s\n' "$@" >"$place/extensions"
    openssl req -newkey rsa:2048 -nodes -sha256 -subj "$subject" -keyout "$place/$name-key.pem" -out "$place/request" &&
        openssl x509 -req -sha256 -days 30 -in "$place/request" -CA "$certificates/ca.pem" -CAkey "$place/ca-key.pem" \
            -CAcreateserial -out "$place/$name.pem" -extfile "$place/extensions"
} 2>/dev/null

make_certificates() {
    openssl x509 -checkend 86400 -noout -in "$place/user.pem" >/dev/null 2>&1 && return
    rm -rf "$certificates"
    mkdir -p "$certificates"
    openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 90 -subj '/DC=org/DC=pilotage/CN=Test CA' \
        -keyout "$place/ca-key.pem" -out "$certificates/ca.pem" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null || lacks "an openssl that makes a CA"
    cat >"$certificates/ca.signing_policy" <<'END'
access_id_CA X509 '/DC=org/DC=pilotage/CN=Test CA'
pos_rights globus CA:sign
cond_subjects globus '"/DC=org/DC=pilotage/*"'
END
    for kind in subject_hash subject_hash_old; do
        hash=$(openssl x509 -in "$certificates/ca.pem" -noout -$kind)
        ln -sf ca.pem "$certificates/$hash.0"
        ln -sf ca.signing_policy "$certificates/$hash.signing_policy"
    done
    certificate host "/DC=org/DC=pilotage/CN=localhost" "subjectAltName=DNS:localhost,DNS:$(hostname -s),IP:127.0.0.1" \
        "extendedKeyUsage=serverAuth,clientAuth"
    for name in user stranger; do
        certificate $name "/DC=org/DC=pilotage/CN=$name" "keyUsage=digitalSignature,keyEncipherment" \
            "extendedKeyUsage=clientAuth" || lacks "an openssl that signs"
    done
    chmod 600 "$place"/*-key.pem
}

configure() {
    mkdir -p "$place/control" "$place/session" "$place/log" "$place/run"
    chmod 755 "$(dirname "$place")" "$place"
    chmod 1777 "$place/session"
    echo '"/DC=org/DC=pilotage/CN=user"' >"$place/subjects"
    cat >"$place/arc.conf" <<END
[common]
hostname = localhost
x509_host_key = $place/host-key.pem
x509_host_cert = $place/host.pem
x509_cert_dir = $certificates
[authtokens]
[authgroup: pilots]
file = $place/subjects
authtokens = pilots * * * *
[mapping]
map_to_user = pilots $user:$user
[lrms]
lrms = slurm
slurm_bin_path = /usr/bin
slurm_wakeupperiod = 1
slurm_use_sacct = no
[arex]
controldir = $place/control
sessiondir = $place/session
logfile = $place/log/arex.log
joblog = $place/log/jobs.log
loglevel = 4
pidfile = $place/run/arex.pid
wakeupperiod = 1
norootpower = no
user = root
delegationdb = sqlite
[arex/data-staging]
logfile = $place/log/staging.log
maxdelivery = 4
[arex/ws]
wsurl = https://localhost:$port/arex
logfile = $place/log/arex-ws.log
pidfile = $place/run/arex-ws.pid
loglevel = 4
[arex/ws/jobs]
allowaccess = pilots
[infosys]
logfile = $place/log/infoprovider.log
loglevel = 3
[infosys/glue2]
[infosys/cluster]
[queue: main]
END
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

up() {
    SLURM_CONF=$("$here/slurm.sh" env | cut -d = -f 2)
    export SLURM_CONF ARC_CONFIG="$place/arc.conf"
    for part in arex arex-ws; do
        # Copies of ARC's start scripts: there is no setting for how often its information system looks.
        sed "s#<arex:gmconfig>#<arex:InfoproviderWakeupPeriod>$info</arex:InfoproviderWakeupPeriod>&#" \
            /usr/share/arc/arc-$part-start >"$place/arc-$part-start" || lacks "ARC's own start scripts"
        chmod 755 "$place/arc-$part-start"
        # Of this environment jobs would see what has to do with Slurm.
        env -i PATH="$PATH" SLURM_CONF="$SLURM_CONF" ARC_CONFIG="$ARC_CONFIG" X509_CERT_DIR="$certificates" \
            "$place/arc-$part-start" >"$place/log/start.log" 2>&1 </dev/null ||
            lacks "an A-REX that starts: $(tail -n 1 "$place/log/start.log")"
    done
    wait_for 60 curl -q -sS -o /dev/null --cacert "$certificates/ca.pem" "https://localhost:$port/arex/rest" ||
        lacks "an A-REX that answers: $(tail -n 1 "$place/log/arex-ws.log")"
}

for_each_link() { # COMMAND...
    for link in "$certificates"/*.0 "$certificates"/*.signing_policy; do
        [ ! -L "$link" ] || "$@" "$link"
    done
}

distrusted() { rm -f "/etc/grid-security/certificates/$(basename "$1")"; }

trusted() { ln -sf "$(readlink -f "$1")" "/etc/grid-security/certificates/$(basename "$1")"; }

down() {
    end_by_pidfile "$place/run/arex-ws.pid" arched
    end_by_pidfile "$place/run/arex.pid" arched
}

start() {
    needs_root "to start ARC's daemons"
    install_packages ARC nordugrid-arc-arex nordugrid-arc-plugins-needed openssl curl
    stop
    rm -rf "$place/control" "$place/session" "$place/log"
    mkdir -p "$place"
    "$here/slurm.sh" start || exit 1
    make_certificates
    mkdir -p /etc/grid-security/certificates
    for_each_link trusted
    configure
    # Else the start script spends minutes of a core on making them.
    [ -s "$place/control/dhparam.pem" ] ||
        (umask 077 && openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out "$place/control/dhparam.pem")
    up
    echo "ARC $(dpkg-query -W -f='${Version}' nordugrid-arc-arex) at https://localhost:$port/arex"
}

stop() {
    down
    for_each_link distrusted
    "$here/slurm.sh" stop
}

case ${1:-} in
    start | stop | down | up) "$1" ;;
    env) printf '%s\n' "export PILOTAGE_ARC_URL=https://localhost:$port/arex" "export PILOTAGE_ARC_PLACE=$place" ;;
    *) usage ;;
esac
