#!/bin/sh
# A real Grid Engine on this machine: one node, a cell of its own, nothing in /etc, nothing started at boot.
#
#   tests/real/gridengine.sh start    installs what is missing (Debian's packages), starts, waits until the node is ready
#   tests/real/gridengine.sh stop     ends every process that it started
#   tests/real/gridengine.sh env      prints what clients need: eval "$(tests/real/gridengine.sh env)"
#
# GRIDENGINE_SLOTS says how many slots the node claims to have. Whoever submits may be root. Needs root.
# The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${GRIDENGINE_PLACE:-/var/tmp/pilotage-testbeds/gridengine}
slots=${GRIDENGINE_SLOTS:-4}
share=/usr/share/gridengine
helpers=/usr/lib/gridengine
host=localhost
export SGE_ROOT="$place" SGE_CELL=default

# --- What is written down ---------------------------------------------------------------------------------------------

install() {
    ! command -v debconf-set-selections >/dev/null ||
        echo 'gridengine-common shared/gridengineconfig boolean false' | debconf-set-selections
    install_packages "Grid Engine" gridengine-master gridengine-exec gridengine-client
}

ports() {
    port=$(cat "$place/port" 2>/dev/null || echo 0)
    export SGE_QMASTER_PORT="$port" SGE_EXECD_PORT="$((port + 1))"
}

# A fresh cell: bootstrap, database and global configuration, before any daemon runs.
make_cell() {
    rm -rf "$place/default" "$place/spool" "$place/made"
    mkdir -p "$place/default/common" "$place/spool/qmaster/job_scripts" "$place/spool/spooldb" "$place/spool/execd" "$place/made"
    chmod 755 "$(dirname "$place")" "$place"
    ln -sfn "$share/util" "$place/util"
    for part in bin lib utilbin; do
        [ ! -e "/var/lib/gridengine/$part" ] || ln -sfn "/var/lib/gridengine/$part" "$place/$part"
    done
    sed "s#/var/spool/gridengine#$place/spool#; s/^admin_user.*/admin_user root/; /^Version/d" \
        "$share/default-bootstrap" >"$place/default/common/bootstrap"
    # 127.0.0.1 and this host's own name are one host.
    echo "$host $(hostname)" >"$place/default/common/host_aliases"
    echo "$host" >"$place/default/common/act_qmaster"
    sed "s#/var/spool/gridengine/execd#$place/spool/execd#; s#^mailer .*#mailer /bin/true#; s#^min_\\(.\\)id .*#min_\\1id 0#
        s#^load_report_time .*#load_report_time 00:00:02#; s#flush_time=00:00:15#flush_time=00:00:01 accounting_flush_time=00:00:00#" \
        "$share/default-configuration" >"$place/made/configuration"
    "$helpers/spoolinit" berkeleydb libspoolb "$place/spool/spooldb" init &&
        "$helpers/spooldefaults" configuration "$place/made/configuration" &&
        "$helpers/spooldefaults" complexes "$share/util/resources/centry" &&
        "$helpers/spooldefaults" usersets "$share/util/resources/usersets" &&
        "$helpers/spooldefaults" managers root
}

none() { # NAME...: each without a value
    for name; do echo "$name NONE"; done
}

infinite() {
    for limit in rt cpu fsize data stack core rss vmem; do
        echo "s_$limit INFINITY"
        echo "h_$limit INFINITY"
    done
}

# What an administrator tells a running master: the host, a parallel environment, a queue, and a scheduler in a hurry.
describe_cluster() {
    cd "$place/made" || return
    {
        echo "hostname $host"
        none load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling report_variables
    } >host
    printf 'group_name @nodes\nhostlist %s\n' "$host" >group
    {
        printf '%s\n' 'pe_name smp' 'slots 999' 'start_proc_args /bin/true' 'stop_proc_args /bin/true' \
            "allocation_rule \$pe_slots" 'control_slaves FALSE' 'job_is_first_task TRUE' 'urgency_slots min' \
            'accounting_summary FALSE'
        none user_lists xuser_lists qsort_args
    } >environment
    {
        printf '%s\n' 'qname main.q' 'hostlist @nodes' 'seq_no 0' 'nsuspend 1' 'suspend_interval 00:05:00' 'priority 0' \
            'min_cpu_interval 00:05:00' 'processors UNDEFINED' 'qtype BATCH' 'pe_list smp' 'rerun TRUE' "slots $slots" \
            'tmpdir /tmp' 'shell /bin/csh' 'shell_start_mode posix_compliant' 'notify 00:00:05' 'initial_state default'
        none load_thresholds suspend_thresholds ckpt_list prolog epilog starter_method suspend_method resume_method \
            terminate_method owner_list user_lists xuser_lists subordinate_list complex_values projects xprojects calendar
        infinite
    } >queue
    qconf -ssconf | sed 's/^schedule_interval .*/schedule_interval 0:0:1/; s/^flush_\(.*\)_sec .*/flush_\1_sec 1/
        s/^job_load_adjustments .*/job_load_adjustments NONE/; s/^load_adjustment_decay_time .*/load_adjustment_decay_time 0:0:0/
        s/^schedd_job_info .*/schedd_job_info true/' >scheduler
    # Two GPUs that do not exist, counted for each job, and whole nodes.
    { qconf -sc; echo 'gpu gpu INT <= YES JOB 0 0'; echo 'exclusive excl BOOL EXCL YES YES 0 1000'; } >complexes
    sed -i 's/^complex_values .*/complex_values gpu=2,exclusive=true/' host
    qconf -ah "$host" >/dev/null 2>&1 # it may be one by itself
    qconf -Mc complexes && qconf -as "$host" && qconf -Ae host && qconf -Ahgrp group && qconf -Ap environment && qconf -Aq queue &&
        qconf -Msconf scheduler
}

# --- Verbs ------------------------------------------------------------------------------------------------------------

start() {
    needs_root "to start Grid Engine's daemons"
    install
    stop
    make_cell || lacks "a Grid Engine whose cell can be made"
    free_port 2 >"$place/port"
    ports
    sge_qmaster || lacks "a sge_qmaster that starts"
    wait_for 30 qconf -sh || lacks "a sge_qmaster that answers: $(tail -n 1 "$place/spool/qmaster/messages")"
    describe_cluster || lacks "a Grid Engine that can be configured"
    sge_execd || lacks "a sge_execd that starts"
    # A sixth column would say what is wrong with the queue.
    wait_for 40 sh -c "qstat -f -q main.q | awk '/^main.q@/ { ready = NF == 5 } END { exit !ready }'" ||
        lacks "a Grid Engine whose node is ready: $(tail -n 1 "$place/spool/qmaster/messages")"
    echo "$(qstat -help | head -n 1): $slots slots"
}

stop() {
    ports
    [ "$port" = 0 ] || timeout 5 qdel -u '*' >/dev/null 2>&1
    end_by_pidfile "$place/spool/execd/$host/execd.pid" sge_execd 15
    end_by_pidfile "$place/spool/qmaster/qmaster.pid" sge_qmaster 15
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    env)
        ports
        for name in SGE_ROOT SGE_CELL SGE_QMASTER_PORT SGE_EXECD_PORT; do
            eval "printf 'export %s=%s\n' $name \"\$$name\""
        done
        ;;
    *) usage ;;
esac
