#!/bin/sh
# One guest, as a process: writes down who it is, goes into its control groups, and becomes the program.
#
#   machine.sh FOLDER GROUP... -- PROGRAM ARGUMENT...
set -eu
folder=$1
shift
read -r stat <"/proc/$$/stat"
read -r boot </proc/sys/kernel/random/boot_id
printf '%s %s\n' "$boot" "$stat" >"$folder/process.new"
mv "$folder/process.new" "$folder/process"
while [ "$1" != -- ]; do
    echo $$ >"$1/cgroup.procs"
    shift
done
shift
cd "$folder"
exec "$@"
