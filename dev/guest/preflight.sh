#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# luoctl and kernels that can't, or can, take over what is preserved; TAP on
# stdout. /plain is a kernel without the series, /other one of mainline;
# preflight= on the kernel's command line says which this is, ours or mainline.
# shellcheck shell=dash source=dev/guest/lib.sh disable=SC2154
. /guest/lib.sh

is_loaded() { [ "$(cat /sys/kernel/kexec_loaded)" = "$1" ]; }
loads() { luoctl load "$1" -- --reuse-cmdline && is_loaded 1 && kexec -s -u; }

# refuses IMAGE TEXT: it says why, and nothing is loaded.
refuses() {
	luoctl load "$1" 2>/tmp/failed && return 1
	cat /tmp/failed
	grep -qxF "luoctl: load: $2" /tmp/failed && is_loaded 0
}

# An image that is loaded by kexec_load() is not told of the sessions.
refuses_to_jump() {
	kexec -c -l /other/bzImage --reuse-cmdline && is_loaded 1 || return
	kexec -e -x && return 1
	dmesg | tail -n 5 | grep "liveupdate: the loaded kernel can't receive the sessions"
}

echo "TAP version 13"
[ -c /dev/liveupdate ] || fail "no /dev/liveupdate"
if [ "$preflight" = mainline ]; then
	echo "1..2"
	ok "mainline does not tell its formats" \
		refuses /boot/bzImage "/sys/kernel/liveupdate/abi: this kernel does not tell its formats: name those to look for"
	ok "they can be named" luoctl check /boot/bzImage kho-v4 luo-v5 memfd-v2
	exit
fi
echo "1..6"
ok "a file is preserved" /selftests/luo_kexec_simple -s 1
ok "a kernel without the series is not loaded" refuses /plain/vmlinuz "/plain/vmlinuz: a kernel that takes nothing over"
ok "mainline is loaded" loads /other/bzImage
ok "this kernel is loaded" loads /boot/bzImage
ok "reboot() refuses what kexec_load() loaded" refuses_to_jump
ok "what was preserved still is" grep -q "token .* preserved memfd-v2" /sys/kernel/debug/liveupdate/sessions
