#!/bin/sh
# A real OAR on this machine: one node, its own PostgreSQL and sshd, nothing started at boot.
#
#   tests/real/oar.sh start    installs what is missing (Debian's packages), starts, waits until the node is alive
#   tests/real/oar.sh stop     ends every process that it started, and puts OAR's configuration back
#   tests/real/oar.sh env      prints what clients need: nothing, since OAR looks in /etc/oar alone
#
# OAR_CORES says how many cores the node claims to have. OAR takes no jobs of root. Needs root.
# The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${OAR_PLACE:-/var/tmp/pilotage-testbeds/oar}
cores=${OAR_CORES:-4}
user=${OAR_USER_OF_JOBS:-pilotage-test}
host=$(hostname)
configuration=/etc/oar/oar.conf

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

sql() { PGPASSWORD=$password psql -q -X -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$db_port" "$@" >>"$place/log/sql.log" 2>&1; }

# --- What is written down ---------------------------------------------------------------------------------------------

configure() {
    mkdir -p "$place/log" /run/oar /run/sshd
    chmod 755 "$(dirname "$place")" "$place"
    chown oar: /run/oar
    [ -e "$place/oar.conf.package" ] || cp -p "$configuration" "$place/oar.conf.package"
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    db_port=$(free_port 1) server_port=$(free_port 1) ssh_port=$(free_port 1)
    # No groups of control: jobs are found by their processes. Nodes are believed to be there.
    sed -e "s/^DB_PORT=.*/DB_PORT=\"$db_port\"/; s/^DB_BASE_PASSWD=.*/DB_BASE_PASSWD=\"$password\"/" \
        -e "s/^DB_BASE_PASSWD_RO=.*/DB_BASE_PASSWD_RO=\"$password\"/; s/^DB_HOSTNAME=.*/DB_HOSTNAME=\"127.0.0.1\"/" \
        -e "s/^SERVER_PORT=.*/SERVER_PORT=\"$server_port\"/" \
        -e "s#^OPENSSH_CMD=.*#OPENSSH_CMD=\"/usr/bin/ssh -p $ssh_port -o HostName=127.0.0.1 -e none\"#" \
        -e "s/^JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD/#&/; s/^CPUSET_PATH/#&/; s/^FINAUD_FREQUENCY=.*/FINAUD_FREQUENCY=\"0\"/" \
        -e "s/^SCHEDULER_JOB_SECURITY_TIME=.*/SCHEDULER_JOB_SECURITY_TIME=\"1\"/" \
        -e "s#^PINGCHECKER_SENTINELLE_SCRIPT_COMMAND.*#PINGCHECKER_GENERIC_COMMAND=\"/bin/true\"#" \
        "$place/oar.conf.package" >"$place/oar.conf"
    echo 'SCHEDULER_MIN_TIME_BETWEEN_2_CALLS="1"' >>"$place/oar.conf"
    install -o oar -m 600 "$place/oar.conf" "$configuration"
    rm -f "$place/oar.conf"
    sed "s/^Port .*/Port $ssh_port/; s/^UsePAM.*/UsePAM no/; /^PidFile/d; /^ListenAddress/d" /etc/oar/sshd_config >"$place/sshd_config"
    printf 'ListenAddress 127.0.0.1\nPidFile %s/sshd.pid\n' "$place" >>"$place/sshd_config"
    usermod -p '*' oar # no password, and yet not locked
}

start_database() {
    tools=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1)
    rm -rf "$place/database"
    install -d -o postgres -m 700 "$place/database"
    echo "$password" >"$place/database/password"
    chown postgres "$place/database/password"
    as_postgres "$tools/initdb" -D "$place/database/cluster" -A scram-sha-256 --pwfile="$place/database/password" >/dev/null &&
        as_postgres "$tools/pg_ctl" -D "$place/database/cluster" -s -w -l "$place/database/log" \
            -o "-p $db_port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off" start || return
    sql -U postgres -c "create role oar login superuser password '$password'" -c "create role oar_ro login password '$password'" \
        -c 'create database oar owner oar' || return
    for part in pg_structure pg_default_admission_rules default_data; do
        sql -U oar -d oar -f "/usr/lib/oar/database/$part.sql" || return
    done
    sql -U oar -d oar -c 'grant select on all tables in schema public to oar_ro'
}

describe_node() {
    oarproperty -a core && oarproperty -a cpu && oarproperty -c -a host || return
    number=0
    while [ "$number" -lt "$cores" ]; do
        oarnodesetting -a -h "$host" -p "host=$host" -p cpu=0 -p "core=$number" -p "cpuset=$number" || return
        number=$((number + 1))
    done
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

start() {
    needs_root "to start OAR's daemons"
    install_packages OAR postgresql oar-server oar-server-pgsql oar-node oar-user oar-user-pgsql openssh-server
    make_user "$user"
    stop
    configure
    start_database || lacks "a PostgreSQL for OAR: $(tail -n 1 "$place/log/sql.log" 2>/dev/null)"
    /usr/sbin/sshd -f "$place/sshd_config" -E "$place/log/sshd.log" || lacks "an sshd for OAR: $(tail -n 1 "$place/log/sshd.log")"
    setsid oar-server </dev/null >"$place/log/server.log" 2>&1 &
    wait_for 20 oarnodes || lacks "an OAR that answers: $(tail -n 1 /var/log/oar.log)"
    describe_node >"$place/log/nodes.log" 2>&1 || lacks "an OAR that takes a node: $(tail -n 1 "$place/log/nodes.log")"
    wait_for 30 sh -c 'oarnodes -s | grep -qi alive' || lacks "an OAR whose node is alive: $(tail -n 1 /var/log/oar.log)"
    echo "OAR $(oarsub -V | sed -n 's/.*version *: *//p'): $cores cores"
}

processes() { # of OAR's own user: the package has it for these alone
    ps -o pid= -u oar 2>/dev/null
}

stop() {
    for how in TERM TERM KILL; do
        for pid in $(processes); do kill "-$how" "$pid" 2>/dev/null; done
        [ -n "$(processes)" ] && sleep 0.5
    done
    end_by_pidfile "$place/sshd.pid" sshd
    pid=$(head -n 1 "$place/database/cluster/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm")" = postgres ]; then
        kill -INT "$pid" # ends at once, and properly
        wait_for 20 gone "$pid" || kill -QUIT "$pid"
    fi
    [ ! -e "$place/oar.conf.package" ] || cp -p "$place/oar.conf.package" "$configuration"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    env) ;;
    *) usage ;;
esac
