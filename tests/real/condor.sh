#!/bin/sh
# A real HTCondor on this machine: a personal pool of an ordinary user, in a root of a newer Debian (this one's has none).
#
#   tests/real/condor.sh start    makes the root (the first time: about two minutes), starts, waits until a job could run
#   tests/real/condor.sh stop     ends every process that it started, jobs too
#   tests/real/condor.sh env      prints what clients need: eval "$(tests/real/condor.sh env)"
#
# The daemons live in namespaces of their own, where whoever runs this script has another, ordinary user's number: files
# that are ours outside are theirs inside. Client programs that go in there lie in one folder, which `env` names.
# CONDOR_SUITE chooses the Debian. Needs root. The last line says what is lacking, and the exit code is then 1.

# shellcheck disable=SC2016  # what stands in single quotes is for other shells and for sed
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${CONDOR_PLACE:-/var/tmp/pilotage-testbeds/condor}
suite=${CONDOR_SUITE:-trixie}
port=${CONDOR_PORT:-29618}
user=pilotage-test number=4711
root=$place/root-$suite pool=$place/pool bin=$place/bin

# --- What is written down ---------------------------------------------------------------------------------------------

make_root() {
    debian_root HTCondor "$root" "$suite" condor,python3,ca-certificates \
        --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"' \
        --customize-hook='chmod 755 "$1/usr/sbin/policy-rc.d"' \
        --customize-hook="chroot \"\$1\" useradd --uid $number --user-group --create-home $user" \
        --customize-hook='echo "127.0.0.1 localhost" >"$1/etc/hosts"'
    mkdir -p "$root$place"
}

configure() {
    mkdir -p "$pool/log" "$pool/spool" "$pool/execute" "$pool/lock" "$pool/run" "$pool/etc" "$pool/tokens.d" \
        "$pool/passwords.d" "$bin"
    chmod 700 "$pool/passwords.d"
    [ -s "$pool/passwords.d/POOL" ] || (umask 077 && head -c 64 /dev/urandom >"$pool/passwords.d/POOL")
    cat >"$pool/etc/condor_config" <<END
RELEASE_DIR = /usr
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
ETC = $pool/etc
LOCAL_DIR = $pool
RUN = $pool/run
LOG = $pool/log
LOCK = $pool/lock
SPOOL = $pool/spool
EXECUTE = $pool/execute
LOCAL_CONFIG_FILE =
REQUIRE_LOCAL_CONFIG_FILE = False
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:$port
SHARED_PORT_PORT = $port
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
NO_DNS = True
DEFAULT_DOMAIN_NAME = test
UID_DOMAIN = test
FILESYSTEM_DOMAIN = test
DAEMON_LIST = MASTER SHARED_PORT COLLECTOR NEGOTIATOR SCHEDD STARTD
SCHEDD_NAME = pilotage
STARTD_NAME = node1
NUM_CPUS = ${CONDOR_CPUS:-8}
MEMORY = ${CONDOR_MEMORY:-8192}
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = True
SUSPEND = False
PREEMPT = False
KILL = False
BASE_CGROUP =
MOUNT_UNDER_SCRATCH =
RUNBENCHMARKS = False
# A person waits: everything is looked at every second or two.
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
STARTER_UPDATE_INTERVAL = 5
STARTER_INITIAL_UPDATE_INTERVAL = 1
SHADOW_QUEUE_UPDATE_INTERVAL = 5
PERIODIC_EXPR_INTERVAL = 2
MIN_PERIODIC_EXPR_INTERVAL = 1
MAX_JOB_QUEUE_LOG_ROTATIONS = 1
MASTER_BACKOFF_CONSTANT = 1
MAX_JOBS_PER_OWNER = ${CONDOR_MOST_JOBS:-100}
# What no job may ask for, so that something is refused.
SUBMIT_REQUIREMENT_NAMES = NotTooWide
SUBMIT_REQUIREMENT_NotTooWide = RequestCpus <= 64
SUBMIT_REQUIREMENT_NotTooWide_REASON = "no computer here has more than 64 cores"
# Seconds from the word to the kill.
MachineMaxVacateTime = 8
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_CLIENT_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_PASSWORD_DIRECTORY = $pool/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $pool/tokens.d
TRUST_DOMAIN = test
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_ADMINISTRATOR = $user@test
ALLOW_DAEMON = $user@test condor@family
ALLOW_NEGOTIATOR = $user@test condor@family
END
    for program in submit q rm hold release transfer_data vacate_job status version; do
        cat >"$bin/condor_$program" <<END
#!/bin/sh
pid=\$(cat "$place/pid") && exec nsenter --target="\$pid" --user --mount --root --preserve-credentials \\
    /usr/bin/env PATH=/usr/bin:/bin CONDOR_CONFIG="$pool/etc/condor_config" condor_$program "\$@"
END
        chmod 755 "$bin/condor_$program"
    done
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

#: Run in the new namespaces of mounts and processes; then the user's, where we have its number and no rights.
inside='
mount --bind "$root" "$root" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
    mount --bind /tmp "$root/tmp" && mount --bind /var/tmp "$root/var/tmp" && mount -t sysfs -o ro sys "$root/sys" ||
    exit 1
exec unshare --user --map-user="$number" --map-group="$number" --root="$root" \
    /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="/home/$user" CONDOR_CONFIG="$pool/etc/condor_config" \
    condor_master -f
'

start() {
    needs_root "to mount what HTCondor runs in"
    make_root
    stop
    rm -rf "$pool/spool" "$pool/log" "$pool/execute"
    configure
    export root pool user number
    setsid unshare --mount --pid --fork --kill-child --propagation private sh -c "$inside" \
        </dev/null >"$pool/log/start" 2>&1 &
    outer=$!
    echo "$outer" >"$place/outer"
    wait_for 10 pgrep -P "$outer" || lacks "namespaces for HTCondor: $(tail -n 1 "$pool/log/start")"
    pgrep -P "$outer" >"$place/pid"
    wait_for 60 sh -c "'$bin/condor_status' -af Name | grep -q . && '$bin/condor_status' -schedd -af Name | grep -q . &&
        '$bin/condor_status' -negotiator -af Name | grep -q ." ||
        lacks "an HTCondor that is ready: $(tail -n 1 "$pool/log/start" "$pool/log/MasterLog" 2>/dev/null)"
    echo "HTCondor $("$bin/condor_version" | sed -n 's/^\$CondorVersion: \([^ ]*\).*/\1/p'): a pool of $user's"
}

stop() { # the first process of its namespace takes all the others with it
    end_by_pidfile "$place/pid" condor_master
    end_by_pidfile "$place/outer" unshare
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    env) echo "export PILOTAGE_CONDOR=$bin" ;;
    *) usage ;;
esac
