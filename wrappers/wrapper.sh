#!/bin/sh
# What a batch system runs first: finds a Python, fetches pilot.pyz, checks its SHA-256, starts it and waits for it.
# Made by wrappers/render.py, which explains it and its exit codes. Carries the boot log's ticket: not for others to read.
set -u; umask 077; @exports@
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}" # HTCondor starts jobs without one, and a shell keeps its own to itself
stamp=@stamp@ sha256=@sha256@ pause=@pause@ work_base=@work_base@ keep_work=@keep_work@ exit_file=@exit_file@
python='' work='' log='' said='' ca_file='' left='' found_work='' told='' again=xxxx code=91
nl='
'
helper=@helper@
ticket() { cat; } <<'END OF TICKET'
@ticket@
END OF TICKET
ca() { sed '/^$/d'; } <<'END OF CA'
@ca@
END OF CA

say() { # on standard output and, once there is a work directory, in the boot log
    printf '%s\n' "$1"
    said=$said$1$nl
    [ -z "$log" ] || printf '%s\n' "$1" >>"$log"
}
end() { # code, sentence
    say "$2"
    trap '' TERM INT HUP USR1 USR2
    [ -e "$work/enrolled" ] || tell || say "No central took this log."
    [ ! -d "$work/spool" ] || left=$(find "$work/spool" ! -type d 2>&1)
    # Where an earlier wrapper's pilot was found, another process may have the folder: then it is not ours to remove.
    [ -z "$found_work" ] || [ ! -e "$work/session" ] || left=session
    if [ -n "$log" ] && [ -z "$keep_work$left" ]; then rm -rf "$work"; fi
    [ -z "$exit_file" ] || { printf '%s\n' "$1" >"$exit_file.part" && mv "$exit_file.part" "$exit_file"; }
    exit "$1"
}
# shellcheck disable=SC2317 # the traps call it
on_signal() { # once the pilot runs, the signal is for the pilot
    signalled=$1 told=$1
    [ -n "${!:-}" ] || end 94 "SIG$1 came before the pilot was started."
    say "Passing SIG$1 on to the pilot."
    kill -s "$1" "$!" 2>/dev/null
}
tell() { # gives the boot log to the first central that takes it, the ticket through standard input
    set -- @central@ && [ -n "$(ticket)" ] || return
    for url; do
        url="$url/v1/logs/$stamp/boot?offset=0"
        if [ -n "$python" ]; then
            { ticket && ca && printf '\n%s' "$said"; } | "$python" -I -c "$helper" put "$url"
        else
            printf 'header = "Authorization: Ticket %s"\n' "$(ticket)" |
                curl -q -sf -m 20 -K - ${ca_file:+--cacert "$ca_file"} -X PUT --data-binary @"$log" -o /dev/null "$url"
        fi && return
    done 2>/dev/null
}
find_python() { # its own path, not that of a shim that chooses anew each time
    set -- @pythons@
    for candidate; do
        command -v "$candidate" >/dev/null || continue
        found=$("$candidate" -I -c "$helper" check 2>&1) && python=$found && return
        say "Not a Python for the pilot: $candidate (${found%%"$nl"*})"
    done
}
make_work() {
    for base in "$work_base" "${_CONDOR_SCRATCH_DIR:-}" "${SLURM_TMPDIR:-}" "${PBS_JOBFS:-}" "${OSG_WN_TMP:-}" \
        "${EDG_WL_SCRATCH:-}" "${TMPBATCH:-}" "${TMPDIR:-}" "$PWD"; do
        if [ -n "$work_base" ] || { [ -d "$base" ] && [ -w "$base" ]; }; then break; fi
    done
    work=$base/$stamp
    # Both ours: this was started before, and the pilot killed, as when a machine is rebooted.
    [ -z "$(find "$work" "$work/session" -prune -user "$(id -u)" 2>/dev/null | sed -n 2p)" ] || found_work=yes
    [ -z "$found_work" ] || say "The pilot of an earlier start of this is taken up."
    problem=$({ mkdir -p "$base" && { [ -n "$found_work" ] || mkdir "$work"; } && ticket >"$work/ticket" &&
        printf '%s' "$said" >>"$work/boot.log" && ca >"$work/ca.pem"; } 2>&1) || end 93 "No work directory: $problem"
    log=$work/boot.log part=$work/pilot.part
    [ ! -s "$work/ca.pem" ] || ca_file=$work/ca.pem
}
get() { # URL, file, try: first with curl, if there is one, then with the Python that was found
    ulimit -f 32768 2>/dev/null # blocks of 512 bytes, in some shells 1024: nobody may fill the disk
    if [ "$3" = 1 ] && command -v curl >/dev/null; then
        curl -q -sS -f -L --max-redirs 3 --connect-timeout 10 -m 300 ${ca_file:+--cacert "$ca_file"} -o "$2" "$1"
    else
        "$python" -I -c "$helper" get "$1" "$2" "$ca_file"
    fi 2>&1
}
fetch_pilot() {
    [ ! -f "$work/pilot.pyz" ] || [ "$("$python" -I -c "$helper" sha256 <"$work/pilot.pyz")" != "$sha256" ] || return 0
    set -- @urls@
    for url; do
        for try in 1 2; do
            [ "$try" = 1 ] || sleep "$pause"
            if problem=$(get "$url" "$part" "$try"); then
                got=$("$python" -I -c "$helper" sha256 <"$part")
                [ "$got" = "$sha256" ] && mv "$part" "$work/pilot.pyz" && return
                code=92
                say "$url: expected SHA-256 $sha256, got $got. Removed unopened."
                break
            fi
            say "$url, try $try of 2: $problem"
        done
        rm -f "$part"
    done
    end "$code" "pilot.pyz could not be had from any URL${https_proxy:+ (proxy: ${https_proxy##*@})}."
}
write_config() { "$python" -I -c "$helper" config "$work"; } <<'END OF CONFIG'
@config@
END OF CONFIG

trap 'on_signal TERM' TERM && trap 'on_signal INT' INT && trap 'on_signal HUP' HUP
trap 'on_signal USR1' USR1 && trap 'on_signal USR2' USR2
say "pilot $stamp on $(uname -n) at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
find_python; make_work
[ -n "$python" ] || end 90 "No Python 3.9 or newer with ssl and zlib was found."
fetch_pilot
write_config >"$work/pilot.json" || end 93 "Nothing can be written into $work. Is the disk full?"
say "Starting the pilot in $work with $python."
while [ -n "$again" ]; do
    (cd "$work" && exec "$python" -I pilot.pyz run --config pilot.json </dev/null 2>>pilot.stderr) &
    signalled=first code=127 again=${again%?}
    while [ -n "$signalled" ]; do
        signalled=''
        wait "$!"; now=$?
        [ "$now" = 127 ] || code=$now # 127: it was waited for already, when a signal came just after
    done
    if [ "$code" -le 128 ] || [ ! -e "$work/session" ] || [ -n "$told" ]; then again=''; fi
    [ -z "$again" ] || say "The pilot was killed by signal $((code - 128)). It is started again, where it left off."
done
[ ! -s "$work/pilot.stderr" ] || say "On its standard error: $(tail -c 16384 "$work/pilot.stderr")"
how="ended with exit code $code"
[ "$code" -le 128 ] || how="was killed by signal $((code - 128))"
[ -e "$work/enrolled" ] || how="$how, before it could speak to the central"
end "$code" "The pilot $how."
