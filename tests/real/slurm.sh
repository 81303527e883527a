#!/bin/sh
# A real Slurm on this machine: one node, its own munge key and socket, nothing in /etc, nothing started at boot.
#
#   tests/real/slurm.sh start    installs what is missing (Debian's packages), starts, waits until the node is idle
#   tests/real/slurm.sh stop     ends every process that it started
#   tests/real/slurm.sh env      prints what clients need: eval "$(tests/real/slurm.sh env)"
#
# SLURM_CONFINE=0 leaves jobs unconfined, as many clusters do; else cores and memory are held by cgroups (version 1).
# SLURM_CPUS and SLURM_MEMORY (MiB) say what the node claims to have. Two GPUs are declared that do not exist: enough to
# see what Slurm tells its jobs. Needs root. The last line says what is lacking, and the exit code is then 1.
set -u

place=${SLURM_PLACE:-/var/tmp/pilotage-testbeds/slurm}
port=${SLURM_PORT:-26817}
cpus=${SLURM_CPUS:-$(nproc)}
memory=${SLURM_MEMORY:-2000}
user=${SLURM_USER_OF_JOBS:-pilotage-test}
export SLURM_CONF="$place/etc/slurm.conf" DEBIAN_FRONTEND=noninteractive

lacks() { echo "$*"; exit 1; }

wait_for() { # SECONDS COMMAND...
    end=$(($(date +%s) + $1))
    shift
    until timeout 5 "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || return 1
        sleep 0.2
    done
}

end_by_pidfile() {
    [ -s "$1" ] || return 0
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null
    wait_for 10 sh -c "! kill -0 $pid" || kill -KILL "$pid" 2>/dev/null
    rm -f "$1"
}

# --- What is written down ---------------------------------------------------------------------------------------------

install_packages() {
    missing=
    for package in slurm-wlm munge; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || lacks "Slurm (only Debian's can be installed here)"
    # shellcheck disable=SC2086  # a list of words
    apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $missing ||
        { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $missing; } ||
        lacks "Slurm (the packages$missing could not be had)"
}

make_user() {
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user" || lacks "a user for jobs"
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
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/run/slurmctld.pid
SlurmdPidFile=$place/run/slurmd.pid
SlurmctldLogFile=$place/log/slurmctld.log
SlurmdLogFile=$place/log/slurmd.log
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
MinJobAge=300
GresTypes=gpu
AccountingStorageType=accounting_storage/none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 10)) CPUs=$cpus RealMemory=$memory Gres=gpu:pretended:2 State=UNKNOWN
PartitionName=main Nodes=n1 Default=YES MaxTime=2:00:00 DefaultTime=10 State=UP
PartitionName=endless Nodes=n1 MaxTime=UNLIMITED DefaultTime=UNLIMITED State=UP
END
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

start() {
    [ "$(id -u)" = 0 ] || lacks "root, to start Slurm's daemons"
    install_packages
    make_user
    stop
    configure
    setpriv --reuid=munge --regid=munge --init-groups munged --force --key-file="$place/etc/munge.key" \
        --socket="$place/munge/munge.sock" --pid-file="$place/munge/munged.pid" \
        --log-file="$place/munge/munged.log" --seed-file="$place/munge/munged.seed" || lacks "a munged that starts"
    slurmctld || lacks "a slurmctld that starts: $(tail -n 1 "$place/log/slurmctld.log")"
    slurmd -N n1 || lacks "a slurmd that starts: $(tail -n 1 "$place/log/slurmd.log")"
    wait_for 30 sh -c 'sinfo -h -o %T | grep -qE "^(idle|mixed|allocated)$"' ||
        lacks "a Slurm whose node is ready: $(tail -n 1 "$place/log/slurmd.log")"
    echo "Slurm $(slurmd -V | cut -d ' ' -f 2): $cpus CPUs, $task"
}

stop() {
    [ -s "$place/run/slurmctld.pid" ] && timeout 5 scancel --state=running,pending 2>/dev/null
    end_by_pidfile "$place/run/slurmd.pid"
    end_by_pidfile "$place/run/slurmctld.pid"
    end_by_pidfile "$place/munge/munged.pid"
    rm -f "$place/munge/munge.sock" "$place/munge/munge.sock.lock"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    env) echo "export SLURM_CONF=$SLURM_CONF" ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
