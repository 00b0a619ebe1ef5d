#!/bin/sh
# Run a command as process 1 of a container without an engine: in namespaces of its own for mounts
# and processes, with a directory for its root. Everything mounted here goes with it.
#
#   unshare --mount --pid --fork enter.sh STAGE PYTHON rw|ro COMMAND...
#
# STAGE/root is the root. The rest of the base image is lent by this machine: /usr, read-only, and
# in the place of /usr/local the Python in the folder PYTHON; what is changed there is kept in
# STAGE/local.
set -eu
stage=$1 python=$2 mode=$3
shift 3
root=$stage/root

mount --bind "$root" "$root"
mount --bind /usr "$root/usr"
mount -o remount,bind,ro "$root/usr"
mount -t overlay overlay "$root/usr/local" \
    -o "lowerdir=$python,upperdir=$stage/local,workdir=$stage/work"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
if [ "$mode" = ro ]; then
    mount -o remount,ro "$root/usr/local"
    mount -o remount,ro "$root/dev"
    mount -o remount,bind,ro "$root"
fi
exec chroot "$root" "$@"
