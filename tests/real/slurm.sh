#!/bin/sh
# A real Slurm on this machine: its own munge key and socket, nothing in /etc, nothing started at boot.
#
#   tests/real/slurm.sh start    installs what is missing (Debian's packages), starts, waits until the node is idle
#   tests/real/slurm.sh stop     ends every process that it started
#   tests/real/slurm.sh env      prints what clients need: eval "$(tests/real/slurm.sh env)"
#
# SLURM_CONFINE=0 leaves jobs unconfined, as many clusters do; else cores and memory are held by cgroups (version 1).
# SLURM_NODES nodes run here, 1 by default; with several use SLURM_CONFINE=0. SLURM_CPUS and SLURM_MEMORY (MiB) say what
# each claims to have. Two GPUs are declared that do not exist: enough to see what Slurm tells its jobs.
# SLURM_ACCOUNTING=1 adds slurmdbd over a MariaDB of its own; SLURM_FORGETS is after how many seconds the controller
# forgets a job that ended. Needs root. The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${SLURM_PLACE:-/var/tmp/pilotage-testbeds/slurm}
port=${SLURM_PORT:-26817}
nodes=${SLURM_NODES:-1}
cpus=${SLURM_CPUS:-$(nproc)}
memory=${SLURM_MEMORY:-2000}
user=${SLURM_USER_OF_JOBS:-pilotage-test}
accounting=${SLURM_ACCOUNTING:-0}
forgets=${SLURM_FORGETS:-300}
export SLURM_CONF="$place/etc/slurm.conf"

# --- What is written down ---------------------------------------------------------------------------------------------

wanted() {
    echo slurm-wlm munge
    [ "$accounting" = 0 ] || echo slurmdbd mariadb-server
}

confined() {
    [ "${SLURM_CONFINE:-1}" = 1 ] && [ -w /sys/fs/cgroup/cpuset ] && [ -w /sys/fs/cgroup/memory ] &&
        [ -w /sys/fs/cgroup/freezer ]
}

configure() {
    mkdir -p "$place/etc" "$place/run" "$place/log" "$place/state" "$place/spool" "$place/munge"
    chmod 755 "$(dirname "$place")" "$place" "$place/etc" "$place/run" "$place/munge"
    [ -s "$place/etc/munge.key" ] || dd if=/dev/urandom of="$place/etc/munge.key" bs=1024 count=1 2>/dev/null
    chown munge: "$place/etc/munge.key" "$place/munge"
    chmod 400 "$place/etc/munge.key"
    if confined; then
        track=proctrack/cgroup task=task/affinity,task/cgroup
        printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainCores=yes ConstrainRAMSpace=yes \
            ConstrainDevices=no >"$place/etc/cgroup.conf"
    else
        track=proctrack/pgid task=task/none
        echo CgroupPlugin=cgroup/v1 >"$place/etc/cgroup.conf"
    fi
    # Device files that are everywhere stand in for those of the GPUs.
    printf '%s\n' 'Name=gpu Type=pretended File=/dev/null' 'Name=gpu Type=pretended File=/dev/zero' >"$place/etc/gres.conf"
    host=$(hostname -s)
    cat >"$SLURM_CONF" <<END
ClusterName=pilotage
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge/munge.sock
CryptoType=crypto/munge
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool/%n
SlurmctldPidFile=$place/run/slurmctld.pid
SlurmdPidFile=$place/run/slurmd-%n.pid
SlurmctldLogFile=$place/log/slurmctld.log
SlurmdLogFile=$place/log/slurmd-%n.log
ProctrackType=$track
TaskPlugin=$task
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=300
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
MailProg=/bin/true
KillWait=5
MinJobAge=$forgets
GresTypes=gpu
$(configure_accounting)
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 10))-$((port + 9 + nodes))] CPUs=$cpus RealMemory=$memory Gres=gpu:pretended:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=2:00:00 DefaultTime=10 State=UP
PartitionName=endless Nodes=ALL MaxTime=UNLIMITED DefaultTime=UNLIMITED State=UP
END
}

configure_accounting() {
    [ "$accounting" = 1 ] || { echo AccountingStorageType=accounting_storage/none; return; }
    printf '%s\n' AccountingStorageType=accounting_storage/slurmdbd AccountingStorageHost=127.0.0.1 \
        AccountingStoragePort=$((port + 2)) "AccountingStoragePass=$place/munge/munge.sock" \
        AccountingStorageEnforce=associations,limits,qos
    cat >"$place/etc/slurmdbd.conf" <<END
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge/munge.sock
PidFile=$place/run/slurmdbd.pid
LogFile=$place/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
END
    chmod 600 "$place/etc/slurmdbd.conf"
}

# --- Daemons ----------------------------------------------------------------------------------------------------------

sql() { mariadb --no-defaults -S "$place/sql/database.sock" -uroot "$@"; }

start_accounting() { # no address: only who is on this machine, through a socket
    if [ ! -d "$place/database/mysql" ]; then
        mkdir -p "$place/database" && chown mysql: "$place/database"
        mariadb-install-db --no-defaults --user=mysql --datadir="$place/database" --skip-test-db \
            --auth-root-authentication-method=normal >"$place/log/database.log" 2>&1 || lacks "a MariaDB that can be made"
    fi
    mkdir -p "$place/sql" && chown mysql: "$place/sql"
    setsid mariadbd --no-defaults --user=mysql --datadir="$place/database" --socket="$place/sql/database.sock" \
        --skip-networking --pid-file="$place/sql/database.pid" >>"$place/log/database.log" 2>&1 </dev/null &
    wait_for 60 mariadb-admin --no-defaults -S "$place/sql/database.sock" -uroot ping ||
        lacks "a MariaDB that starts: $(tail -n 1 "$place/log/database.log")"
    sql -e "create user if not exists slurm@localhost identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@localhost" || lacks "a database for slurmdbd"
    MYSQL_UNIX_PORT="$place/sql/database.sock" slurmdbd || lacks "a slurmdbd that starts"
    wait_for 60 sacctmgr -n -i show cluster || lacks "a slurmdbd that answers: $(tail -n 1 "$place/log/slurmdbd.log")"
    sacctmgr -n show cluster pilotage | grep -q pilotage || sacctmgr -Q -i add cluster pilotage
    sacctmgr -n show account physics | grep -q physics || sacctmgr -Q -i add account physics
    sacctmgr -n show user "$user" | grep -q "$user" || sacctmgr -Q -i add user "$user" account=physics
}

start_nodes() {
    for node in $(seq "$nodes"); do
        mkdir -p "$place/spool/n$node"
        slurmd -N "n$node" || lacks "a slurmd that starts: $(tail -n 1 "$place/log/slurmd-n$node.log")"
    done
}

ready_nodes() { [ "$(sinfo -h -N -p main -o %T | grep -cE '^(idle|mixed|allocated)$')" -ge "$nodes" ]; }

# --- Verbs ------------------------------------------------------------------------------------------------------------

start() {
    needs_root "to start Slurm's daemons"
    # shellcheck disable=SC2046  # a list of words
    install_packages Slurm $(wanted)
    make_user "$user"
    stop
    configure
    setpriv --reuid=munge --regid=munge --init-groups munged --force --key-file="$place/etc/munge.key" \
        --socket="$place/munge/munge.sock" --pid-file="$place/munge/munged.pid" \
        --log-file="$place/munge/munged.log" --seed-file="$place/munge/munged.seed" || lacks "a munged that starts"
    [ "$accounting" = 0 ] || start_accounting
    slurmctld || lacks "a slurmctld that starts: $(tail -n 1 "$place/log/slurmctld.log")"
    start_nodes
    wait_for 60 ready_nodes || lacks "a Slurm whose nodes are ready: $(tail -n 1 "$place/log/slurmctld.log")"
    echo "Slurm $(slurmd -V | cut -d ' ' -f 2): $nodes x $cpus CPUs, $task"
}

end_steps() { # what watches a job outlives slurmd, and the job where nobody told it
    for pid in $(pgrep -x slurmstepd); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "SLURM_CONF=$SLURM_CONF" || continue
        end_process "$pid" 5
    done
}

stop() {
    [ -s "$place/run/slurmctld.pid" ] && timeout 5 scancel --state=running,pending 2>/dev/null
    for file in "$place"/run/slurmd-*.pid; do end_by_pidfile "$file" slurmd; done
    end_steps
    end_by_pidfile "$place/run/slurmctld.pid" slurmctld
    end_by_pidfile "$place/run/slurmdbd.pid" slurmdbd
    end_by_pidfile "$place/sql/database.pid" mariadbd
    end_by_pidfile "$place/munge/munged.pid" munged
    rm -f "$place/munge/munge.sock" "$place/munge/munge.sock.lock"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    env) echo "export SLURM_CONF=$SLURM_CONF" ;;
    *) usage ;;
esac
