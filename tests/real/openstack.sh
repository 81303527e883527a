#!/bin/sh
# A real OpenStack on this machine, as small as it comes: Keystone, Placement, Glance, Neutron and Nova over a MariaDB
# of its own. Nothing in /etc, nothing started at boot, everything on the loopback interface.
#
#   tests/real/openstack.sh install  installs what is missing (Debian's packages, 500 MB)
#   tests/real/openstack.sh start    the same, then starts everything and waits until a machine could be started
#   tests/real/openstack.sh down     ends Nova alone; its machines stay
#   tests/real/openstack.sh up       starts it again
#   tests/real/openstack.sh stop     ends every process that it started, and every guest
#   tests/real/openstack.sh env      prints what clients need: eval "$(tests/real/openstack.sh env)"
#
# DRIVER=fake (the default): Nova's own hypervisor that does nothing, a thousand cores of it. DRIVER=qemu: machines are
# guests of QEMU, which boot what images/build.sh made in OPENSTACK_GUEST and reach this machine's loopback interface as
# 10.99.0.1. One place holds both; its databases are made once and are kept.
# Needs root. The last line says what is lacking, and the exit code is then 1.
set -u

here=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
parts=$here/openstack
place=${OPENSTACK_PLACE:-/var/tmp/pilotage-testbeds/openstack}
first=${OPENSTACK_PORT:-25000}
driver=${DRIVER:-fake}
guest=${OPENSTACK_GUEST:-/var/tmp/pilotage-testbeds/images/bookworm}
identity=$first placement=$((first + 1)) image=$((first + 2)) network=$((first + 3)) compute=$((first + 4))
database=$((first + 5))
relay=$((first + 14))
etc=$place/etc
python=/usr/bin/python3 # Debian's, which has Debian's packages
export PYTHONPATH="$parts/ports" PYTHONDONTWRITEBYTECODE=1
export OS_KEYSTONE_CONFIG_DIR="$etc" OS_KEYSTONE_CONFIG_FILES=keystone.conf OS_PLACEMENT_CONFIG_DIR="$etc"
export OPENSTACK_GUEST="$guest"

runs() { [ -s "$place/run/$1.pid" ] && kill -0 "$(cat "$place/run/$1.pid")" 2>/dev/null; }

launch() { # NAME COMMAND...
    name=$1
    shift
    runs "$name" && return
    setsid "$@" >>"$place/log/$name.out" 2>&1 </dev/null &
    echo $! >"$place/run/$name.pid"
}

# --- What is written down ---------------------------------------------------------------------------------------------

wanted() {
    echo nova-common python3-nova python3-keystone python3-placement python3-glance python3-neutron python3-openstacksdk \
        uwsgi-core uwsgi-plugin-python3 mariadb-server-core mariadb-client-core genisoimage curl
    [ "$driver" != qemu ] || echo qemu-system-x86 qemu-utils seabios
}

# shellcheck disable=SC2046  # a list of words
install() { install_packages OpenStack $(wanted); }

# The pipelines of Glance and Neutron are in packages that want their daemons started: these are unpacked, not installed.
unpack_pipelines() {
    [ -s "$place/unpacked/usr/share/neutron-common/api-paste.ini" ] && return
    mkdir -p "$place/unpacked"
    (
        cd "$place/unpacked" && apt-get -q -o DPkg::Lock::Timeout=600 download glance-common neutron-common &&
            for package in ./*.deb; do dpkg-deb -x "$package" . || exit 1; done
    ) >/dev/null || lacks "the pipelines of Glance and Neutron (their packages could not be had)"
}

secret() { # FILE: a secret that is made once
    [ -s "$1" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$1")
    cat "$1"
}

database_url() { echo "mysql+pymysql://openstack:$password@127.0.0.1:$database/$1?charset=utf8"; }

service() { # NAME: what a service authenticates itself by, and the tokens of others
    cat <<END
auth_type = password
auth_url = http://127.0.0.1:$identity/v3
www_authenticate_uri = http://127.0.0.1:$identity/v3
username = admin
password = $password
project_name = admin
user_domain_id = default
project_domain_id = default
region_name = RegionOne
END
}

tokens() {
    # A token that was revoked is taken for so many seconds more, which are five minutes where nothing is said.
    printf '[keystone_authtoken]\ntoken_cache_time = 2\n'
    printf 'memcache_security_strategy = None\nservice_token_roles_required = false\n'
    service
}

configure() {
    mkdir -p "$etc" "$place/run" "$place/log" "$place/lock" "$place/images" "$place/state/instances"
    chmod 700 "$place"
    password=$(secret "$place/password")
    umask 077
    {
        printf '[DEFAULT]\nlog_file = %s/log/keystone.log\n' "$place"
        printf '[database]\nconnection = %s\n' "$(database_url keystone)"
        # Cheap to check: on two cores each request would else wait half a second for the hashing of passwords.
        printf '[identity]\npassword_hash_rounds = 4\n'
        printf '[fernet_tokens]\nkey_repository = %s/keys/tokens\n[credential]\nkey_repository = %s/keys/credentials\n' \
            "$place" "$place"
        # What seldom changes is asked of the database once. A token that was revoked must not be taken for a good one.
        printf '[cache]\nenabled = true\nbackend = dogpile.cache.memory\n'
        printf '[token]\ncaching = false\n[revoke]\ncaching = false\n'
    } >"$etc/keystone.conf"
    {
        printf '[DEFAULT]\nlog_file = %s/log/placement.log\n[api]\nauth_strategy = keystone\n' "$place"
        printf '[placement_database]\nconnection = %s\n' "$(database_url placement)"
        tokens
    } >"$etc/placement.conf"
    {
        printf '[DEFAULT]\nlog_file = %s/log/glance.log\nbind_host = 127.0.0.1\nbind_port = %s\nworkers = 0\n' "$place" "$image"
        printf '[database]\nconnection = %s\n' "$(database_url glance)"
        printf '[glance_store]\nstores = file\ndefault_store = file\nfilesystem_store_datadir = %s/images\n' "$place"
        printf '[paste_deploy]\nflavor = keystone\nconfig_file = %s\n' \
            "$place/unpacked/usr/share/glance-common/glance-api-paste.ini"
        printf '[oslo_concurrency]\nlock_path = %s/lock\n' "$place"
        tokens
    } >"$etc/glance.conf"
    configure_neutron >"$etc/neutron.conf"
    configure_nova >"$etc/nova.conf"
    umask 022
}

# The whole API and its address management, and no network below it: ports are bound by a driver that does nothing.
configure_neutron() {
    cat <<END
[DEFAULT]
log_file = $place/log/neutron.log
bind_host = 127.0.0.1
bind_port = $network
state_path = $place/state
api_paste_config = $place/unpacked/usr/share/neutron-common/api-paste.ini
core_plugin = ml2
service_plugins =
transport_url = fake://
api_workers = 0
rpc_workers = 0
rpc_state_report_workers = 0
auth_strategy = keystone
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[database]
connection = $(database_url neutron)
[ml2]
type_drivers = local
tenant_network_types = local
mechanism_drivers = pilotage_bound
extension_drivers = port_security
[oslo_concurrency]
lock_path = $place/lock
END
    tokens
}

configure_nova() {
    case $driver in
        fake) class=fake.FakeDriver ;;
        qemu) class=pilotage_guests.GuestDriver ;;
        *) lacks "a driver that is called $driver: fake and qemu are known" ;;
    esac
    cat <<END
[DEFAULT]
log_file = $place/log/nova.log
transport_url = fake://
compute_driver = $class
host = here
my_ip = 127.0.0.1
enabled_apis = osapi_compute
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = $compute
osapi_compute_workers = 1
state_path = $place/state
instances_path = $place/state/instances
use_cow_images = false
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
sync_power_state_interval = 5
report_interval = 5
update_resources_interval = 20
[wsgi]
api_paste_config = /usr/share/nova-common/api-paste.ini
[api]
auth_strategy = keystone
[api_database]
connection = $(database_url nova_api)
[database]
connection = $(database_url nova)
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 3
[glance]
api_servers = http://127.0.0.1:$image
[service_user]
send_service_user_token = false
[oslo_concurrency]
lock_path = $place/lock
[placement]
$(service)
[neutron]
$(service)
END
    tokens
}

# --- Databases --------------------------------------------------------------------------------------------------------

sql() { mariadb --no-defaults -S "$place/run/db.sock" -u root "$@"; }

start_database() {
    [ -d "$place/db/mysql" ] || mariadb-install-db --no-defaults --datadir="$place/db" --user=root --skip-test-db \
        --auth-root-authentication-method=normal >"$place/log/db-install.log" 2>&1 || lacks "a MariaDB of its own"
    (
        umask 077
        printf "create or replace user openstack@'127.0.0.1' identified by '%s';\n" "$password"
        printf "grant all on *.* to openstack@'127.0.0.1';\n"
    ) >"$place/run/db.sql"
    # What is lost when the machine goes down is made again: nothing is flushed.
    launch db mariadbd --no-defaults --user=root --datadir="$place/db" --socket="$place/run/db.sock" --port=$database \
        --bind-address=127.0.0.1 --pid-file="$place/run/mariadbd.pid" --init-file="$place/run/db.sql" --skip-log-bin \
        --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-buffer-pool-size=128M --max-connections=300
    wait_for 60 mariadb --no-defaults -S "$place/run/db.sock" -u root -e 'select 1' || lacks "a MariaDB that answers"
}

made() { # NAME COMMAND...: a part of the databases, once
    [ -e "$place/made-$1" ] && return
    name=$1
    shift
    "$@" >"$place/log/made-$name.log" 2>&1 || lacks "the databases of $name: $(tail -n 1 "$place/log/made-$name.log")"
    : >"$place/made-$name"
}

main() { # MODULE ARGUMENTS...: one whose package brings its program, but not as a program
    module=$1
    shift
    $python -c "from $module import main; main()" "$@"
}

make_identity() {
    (umask 077 && mkdir -p "$place/keys/tokens" "$place/keys/credentials")
    (
        set -e
        manage="keystone-manage --config-file $etc/keystone.conf"
        url=http://127.0.0.1:$identity/v3
        $manage fernet_setup --keystone-user root --keystone-group root
        $manage credential_setup --keystone-user root --keystone-group root
        $manage db_sync
        OS_BOOTSTRAP_PASSWORD=$password $manage bootstrap --bootstrap-region-id RegionOne --bootstrap-public-url "$url" \
            --bootstrap-internal-url "$url" --bootstrap-admin-url "$url"
    )
}

make_compute() {
    (
        set -e
        manage="nova-manage --config-file $etc/nova.conf"
        $manage api_db sync
        $manage cell_v2 map_cell0 --database_connection "$(database_url nova_cell0)"
        $manage cell_v2 create_cell --name cell1 --transport-url fake:// --database_connection "$(database_url nova)"
        $manage db sync
    )
}

make_databases() {
    for name in keystone placement glance neutron nova nova_api nova_cell0; do
        sql -e "create database if not exists $name character set utf8"
    done
    made keystone make_identity
    made placement placement-manage --config-file "$etc/placement.conf" db sync
    made glance main glance.cmd.manage --config-file "$etc/glance.conf" db_sync
    made neutron main neutron.db.migration.cli --config-file "$etc/neutron.conf" upgrade heads
    made nova make_compute
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

served() { # NAME PORT FILE THREADS: by uWSGI, which must not keep connections: it drops those it kept
    launch "$1" uwsgi_python3 --http-socket "127.0.0.1:$2" --wsgi-file "$3" --master --processes 1 --threads "$4" \
        --need-app --die-on-term --no-orphans --buffer-size 65535 --post-buffering 65536 --add-header "Connection: close" \
        --disable-logging
}

objects() { # PHASE, once
    made "$1" $python "$parts/objects.py" "$1" "$place" "$first" "$relay"
}

each_time() { $python "$parts/objects.py" "$1" "$place" "$first" "$relay"; }

up() {
    configure
    launch nova $python "$parts/compute.py" --config-file "$etc/nova.conf"
    wait_for 180 curl -q -s -o /dev/null -m 4 "http://127.0.0.1:$compute/" || lacks "a Nova that answers: $(tail -n 1 "$place/log/nova.out")"
}

down() { end_by_pidfile "$place/run/nova.pid" compute.py 20; }

start() {
    needs_root "to start OpenStack's daemons"
    install
    [ "$driver" != qemu ] || [ -s "$guest/root.ext4" ] || "$here/guests.sh" qemu || exit 1
    mkdir -p "$place"
    unpack_pipelines
    stop
    rm -rf "$place/log"
    configure
    start_database
    make_databases
    served keystone "$identity" /usr/bin/keystone-wsgi-public 8
    served placement "$placement" /usr/bin/placement-api 4
    launch glance $python -c 'from glance.cmd.api import main; main()' --config-file "$etc/glance.conf"
    launch neutron $python -c 'from neutron.cmd.eventlet.server import main; main()' --config-file "$etc/neutron.conf"
    wait_for 180 curl -q -s -o /dev/null -m 4 "http://127.0.0.1:$identity/v3" || lacks "a Keystone that answers"
    objects catalogue # before Nova, which looks up Placement in it when it starts
    for port in $placement $image $network; do
        wait_for 180 curl -q -s -o /dev/null -m 4 "http://127.0.0.1:$port/" || lacks "an OpenStack that answers on port $port"
    done
    each_time awake || lacks "a Neutron that answers"
    up
    objects account
    each_time ready || lacks "a hypervisor that Nova knows"
    echo "OpenStack $(dpkg-query -W -f='${Version}' python3-nova) at http://127.0.0.1:$identity/v3"
}

stop() {
    down
    end_by_pidfile "$place/run/neutron.pid" neutron.conf
    end_by_pidfile "$place/run/glance.pid" glance.conf
    end_by_pidfile "$place/run/placement.pid" placement-api
    end_by_pidfile "$place/run/keystone.pid" keystone-wsgi-public
    end_by_pidfile "$place/run/db.pid" mariadbd
    for file in "$place"/state/instances/*/pid; do # guests outlive Nova, as they do with other hypervisors
        end_by_pidfile "$file" "$(basename "$(dirname "$file")")"
    done
}

case ${1:-} in
    install | start | stop | down | up) "$1" ;;
    env) printf '%s\n' "export PILOTAGE_OPENSTACK=$place" ;;
    *) usage ;;
esac
