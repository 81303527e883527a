#!/bin/sh
# Makes a small initrd for the kernel in TREE, and writes it to FILE: it loads what disks of clouds need, mounts the file
# system that the kernel's command line names (root=/dev/vda, root=LABEL=root; /dev/vda by default), and hands over.
set -eu
tree=$(readlink -f "$1")
file=$(readlink -f "$2")
version=$(basename "$(echo "$tree"/lib/modules/*)")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/mnt" "$work/modules"
cp "$tree/bin/busybox" "$work/bin/busybox"

# The tree's own modprobe knows which others each needs, and those that the kernel has built in. One that the kernel does
# not have is not needed by it.
for module in virtio_pci virtio_blk virtio_net ext4 virtio_scsi sd_mod nvme xen-blkfront; do
    chroot "$tree" modprobe --set-version "$version" --show-depends "$module" 2>/dev/null || true
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/list"
[ -s "$work/list" ] || { echo "modules of the kernel $version in $tree"; exit 1; }
number=100
while read -r path; do
    number=$((number + 1))
    case $path in
        *.xz) xz -dc "$tree$path" ;;
        *.zst) zstd -dcq "$tree$path" ;;
        *) cat "$tree$path" ;;
    esac >"$work/modules/$number.ko"
done <"$work/list"
rm "$work/list"

cat >"$work/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for module in /modules/*.ko; do /bin/busybox insmod "$module" 2>/dev/null; done
root=/dev/vda
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
tries=0
while :; do
    case $root in
        LABEL=* | UUID=*) device=$(/bin/busybox findfs "$root" 2>/dev/null) ;;
        *) device=$root ;;
    esac
    [ -n "$device" ] && [ -b "$device" ] && break
    tries=$((tries + 1))
    if [ "$tries" -gt 1000 ]; then
        echo "initrd: there is no $root"
        /bin/busybox poweroff -f
    fi
    /bin/busybox usleep 10000
done
if ! /bin/busybox mount -t ext4 -o noatime "$device" /mnt; then
    echo "initrd: $device cannot be mounted"
    /bin/busybox poweroff -f
fi
/bin/busybox mount --move /dev /mnt/dev
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /mnt /sbin/init
END
chmod 755 "$work/init"
(cd "$work" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$file"
