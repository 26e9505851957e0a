#!/bin/sh
# A kernel without live update has nothing of it, and kexec works; TAP on
# stdout, in two kernels.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# shellcheck disable=SC2317 # called by ok
absent() { [ ! -e "$1" ]; }

[ "$stage" != 1 ] || echo "1..8"
test=$((stage * 4 - 3))
ok "kernel $stage has no device" absent /dev/liveupdate
ok "kernel $stage has no directory in sysfs" absent /sys/kernel/liveupdate
ok "kernel $stage has no directory in debugfs" absent /sys/kernel/debug/liveupdate
ok "kernel $stage is healthy" healthy
[ "$stage" = 1 ] || exit 0
go_on
