#!/bin/sh
# Makes a minimal Debian in TREE an image that boots fast: cloud-init with the modules that a pilot needs, systemd without
# what a machine of a few hours does not.
set -eu
tree=$1

# Without a server of SSH nobody logs in, and no user needs to be made for it.
if [ -e "$tree/usr/sbin/sshd" ]; then
    login=', users_groups, ssh' passwords='set_passwords, '
else
    login='' passwords=''
fi
cat >"$tree/etc/cloud/cloud.cfg.d/90_image.cfg" <<END
datasource_list: [NoCloud, ConfigDrive, OpenStack, Ec2, None]
datasource:
  Ec2: {strict_id: false, timeout: 5, max_wait: 20}
  OpenStack: {timeout: 5, max_wait: 20, retries: 2}
system_info:
  network: {renderers: [networkd], activators: [networkd]}
cloud_init_modules: [seed_random, bootcmd, write_files, growpart, resizefs, set_hostname$login]
cloud_config_modules: [${passwords}runcmd]
cloud_final_modules:
  [write_files_deferred, scripts_per_once, scripts_per_boot, scripts_per_instance, scripts_user, final_message,
   power_state_change]
ssh_genkeytypes: [ed25519]
no_ssh_fingerprints: true
ssh: {emit_keys_to_console: false}
locale: false
END

# Each machine gets a name and an identity of its own.
echo machine >"$tree/etc/hostname"
: >"$tree/etc/machine-id"
rm -f "$tree/var/lib/dbus/machine-id"
: >"$tree/etc/fstab" # what mounts the root has mounted it for writing

units=$tree/etc/systemd/system
starts() { # UNIT TARGET
    mkdir -p "$units/$2"
    ln -sf "/lib/systemd/system/$1" "$units/$2/$1"
}
starts systemd-networkd.service multi-user.target.wants
starts systemd-networkd-wait-online.service network-online.target.wants

# Upkeep of machines that live for long, consoles that nobody logs in at, and hardware that guests do not have.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-tmpfiles-clean.timer \
    getty.target getty@tty1.service serial-getty@ttyS0.service console-getty.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path systemd-update-utmp.service \
    systemd-pstore.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount systemd-rfkill.service \
    systemd-hwdb-update.service systemd-update-done.service systemd-sysusers.service ldconfig.service \
    systemd-machine-id-commit.service systemd-journal-flush.service systemd-pcrphase.service \
    systemd-fsck-root.service systemd-modules-load.service kmod-static-nodes.service \
    modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service \
    modprobe@fuse.service modprobe@loop.service dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount cloud-init-hotplugd.socket; do
    ln -sf /dev/null "$units/$unit"
done

conditions() { # UNIT LINE
    mkdir -p "$units/$1.d"
    printf '[Unit]\n%s\n' "$2" >"$units/$1.d/image.conf"
}
# A container that shares its host's network has its host's names as well.
conditions systemd-resolved.service 'ConditionVirtualization=!container'

# At the boot only the devices that a pilot needs are looked at: under emulation each costs.
mkdir -p "$units/systemd-udev-trigger.service.d" "$tree/etc/systemd/journald.conf.d"
printf '[Service]\nExecStart=\nExecStart=-udevadm trigger --type=devices --action=add %s\n' \
    '--subsystem-match=net --subsystem-match=block --subsystem-match=tty' \
    >"$units/systemd-udev-trigger.service.d/image.conf"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' >"$tree/etc/systemd/journald.conf.d/image.conf"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"

rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin "$tree"/boot/initrd.img-*
