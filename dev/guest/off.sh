#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A kernel without live update has nothing of it, and kexec works; TAP on
# stdout, in two kernels. With kho_test= on the kernel's command line, its
# test_kho has handed memory over.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

# shellcheck disable=SC2317 # called by ok
absent() { [ ! -e "$1" ]; }

# test_kho keeps something only if it could restore what was kept before.
# shellcheck disable=SC2317 # called by ok
kept() {
	[ -e "$kho/out/sub_fdts/kho_test" ] || return
	[ "$stage" = 1 ] || [ -e "$kho/in/sub_fdts/kho_test" ]
}

kho=/sys/kernel/debug/kho
# shellcheck disable=SC2154 # set by the kernel
tests=$((4 + ${kho_test:-0}))
[ "$stage" != 1 ] || echo "1..$((2 * tests))"
test=$(((stage - 1) * tests + 1))
ok "kernel $stage has no device" absent /dev/liveupdate
ok "kernel $stage has no directory in sysfs" absent /sys/kernel/liveupdate
ok "kernel $stage has no directory in debugfs" absent /sys/kernel/debug/liveupdate
ok "kernel $stage is healthy" healthy
[ -z "$kho_test" ] || ok "kernel $stage keeps what test_kho hands over" kept
[ "$stage" = 1 ] || exit 0
go_on
