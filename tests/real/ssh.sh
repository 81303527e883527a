#!/bin/sh
# A real OpenSSH server on this machine, and a second one as the host to jump through: keys of their own, on 127.0.0.1
# alone, nothing in /etc, nothing started at boot.
#
#   tests/real/ssh.sh start    installs what is missing (Debian's packages), starts both, waits until both let one in
#   tests/real/ssh.sh stop     ends every process that it started
#   tests/real/ssh.sh down     ends the server, and its connections; `up` starts it again
#   tests/real/ssh.sh break    ends the connections alone
#   tests/real/ssh.sh env      prints where they are: eval "$(tests/real/ssh.sh env)"
#
# Needs root. The last line says what is lacking, and the exit code is then 1.
set -u

here=$(dirname "$0")
# shellcheck source=tests/real/common.sh
. "$here/common.sh"
place=${SSH_PLACE:-/var/tmp/pilotage-testbeds/ssh}
user=${SSH_USER_OF_JOBS:-pilotage-test}

let_in() { # no password opens it, and yet it is not locked
    make_user "$user"
    usermod -p '*' "$user"
}

make_keys() {
    mkdir -p "$place" /run/sshd
    chmod 755 "$(dirname "$place")" "$place"
    for key in id far.key jump.key; do
        [ -s "$place/$key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$place/$key" || lacks "keys"
    done
    install -m 644 "$place/id.pub" "$place/authorized_keys"
}

configure() { # NAME PORT
    cat >"$place/$1.conf" <<END
Port $2
ListenAddress 127.0.0.1
HostKey $place/$1.key
PidFile $place/$1.pid
AuthorizedKeysFile $place/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers $user
END
    echo "$2" >"$place/$1.port"
    echo "[127.0.0.1]:$2 $(cut -d ' ' -f 1,2 "$place/$1.key.pub")" >"$place/$1.known"
    cat "$place"/*.known >"$place/known_hosts"
}

lets_in() { # NAME
    ssh -F none -i "$place/id" -p "$(cat "$place/$1.port")" -o BatchMode=yes -o ConnectTimeout=5 -o IdentitiesOnly=yes \
        -o UserKnownHostsFile="$place/known_hosts" "$user@127.0.0.1" true
}

listen() { # NAME
    /usr/sbin/sshd -f "$place/$1.conf" -E "$place/$1.log" && wait_for "${2:-5}" lets_in "$1"
}

# Any port may be taken by somebody's outgoing connection: then the next.
start_one() { # NAME PORT...
    name=$1
    shift
    for port; do
        configure "$name" "$port"
        listen "$name" && return
        end_one "$name"
    done
    lacks "a port for an OpenSSH server: $(tail -n 1 "$place/$name.log")"
}

end_one() { # NAME
    [ -s "$place/$1.pid" ] || return 0
    connections=$(pgrep -P "$(cat "$place/$1.pid")")
    end_by_pidfile "$place/$1.pid" sshd
    # shellcheck disable=SC2086  # a list of words
    [ -z "$connections" ] || kill $connections 2>/dev/null
}

start() {
    needs_root "to start an OpenSSH server that lets another user in"
    if [ ! -x /usr/sbin/sshd ] || ! command -v ssh-keygen >/dev/null; then
        install_packages "an OpenSSH server" openssh-server openssh-client
    fi
    let_in
    stop
    make_keys
    start_one far 28022 28023 28024 28025
    start_one jump 28032 28033 28034 28035
    /usr/sbin/sshd -V 2>&1 | tail -n 1
}

stop() {
    end_one far
    end_one jump
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    down) end_one far ;;
    up) listen far 10 || lacks "the server again: $(tail -n 1 "$place/far.log")" ;;
    break)
        # shellcheck disable=SC2046  # a list of words
        kill $(pgrep -P "$(cat "$place/far.pid")") 2>/dev/null
        ;;
    env)
        echo "export PILOTAGE_SSH_PLACE=$place PILOTAGE_SSH_USER=$user"
        echo "export PILOTAGE_SSH_PORT=$(cat "$place/far.port") PILOTAGE_SSH_JUMP=$(cat "$place/jump.port")"
        ;;
    *) usage ;;
esac
