#!/bin/sh
# Starts one pilot that nobody submitted: draws a stamp for it, gives it this site's enrolment token, and waits for it.
# To be started as often as there is room, under a batch system or not. No secret is in here, nor in any argument: the
# token is in a file, which only those may read who start pilots.
set -u; umask 077
token_file=@token_file@ place='' child=''
fail() { printf '%s\n' "$1" >&2; exit 95; }
# shellcheck disable=SC2317 # the traps call it
on_signal() { # the wrapper passes it on to the pilot
    signalled=yes
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null
}
[ -r "$token_file" ] || fail "The enrolment token cannot be read: $token_file."
[ -z "$(find -L "$token_file" -prune -perm -004)" ] || fail "Everybody can read $token_file: chmod 600 it."
stamp=$(od -An -v -N16 -tx1 /dev/urandom | tr -d ' \n')
[ "${#stamp}" = 32 ] || fail "No stamp could be drawn from /dev/urandom."
place=$(mktemp -d "${TMPDIR:-/tmp}/pilotage-XXXXXXXX") || fail "No folder could be made in ${TMPDIR:-/tmp}."
sed -e "/^stamp=/s/@placeholder@/$stamp/" -e "/^{/s/@placeholder@/$stamp/" >"$place/wrapper.sh" <<'END OF WRAPPER'
@wrapper@
END OF WRAPPER
cat "$token_file" >"$place/secret" || fail "The enrolment token cannot be copied into $place."
for name in TERM HUP USR1 USR2; do
    # shellcheck disable=SC2064 # the name is meant as it is now
    trap "on_signal $name" "$name"
done
trap 'on_signal TERM' INT # a shell starts what it does not wait for deaf to INT
(cd "$place" && exec sh ./wrapper.sh) &
child=$! signalled=first code=127
while [ -n "$signalled" ]; do
    signalled=''
    wait "$child"; now=$?
    [ "$now" = 127 ] || code=$now
done
rm -f "$place/secret" "$place/wrapper.sh"
rmdir "$place" 2>/dev/null || printf '%s\n' "Something was left in $place." >&2
exit "$code"
