#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What a kernel hands over to one like it is damaged where all starts: built-in code
# is told so, and not that there was nothing; TAP on stdout, in five kernels. Needs
# luo_early.session=hurt on the kernel's command line.
# shellcheck source=dev/guest/lib.sh disable=SC2119
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

early=/sys/kernel/debug/liveupdate_early

# shellcheck disable=SC2317 # these are called by ok
# answers ERRNO: at arch_initcall, about a session, an FLB, and another FLB.
answers() {
	cat "$early"
	grep -qx "arch -$1 0 0 -$1 0 -$1" "$early"
}
# shellcheck disable=SC2317
says() { dmesg | grep -F "$1"; }

case $stage in
1)
	echo "1..13"
	ok "there is nothing at first" answers 2
	kind=tree
	;;
2)
	test=2
	ok "tree: sessions are lost" luo_damage check tree
	ok "tree: built-in code is told of a loss" answers 74
	ok "tree: kernel is healthy" healthy
	kind=blob
	;;
3)
	test=5
	ok "blob: sessions are lost" luo_damage check blob
	ok "blob: its name is escaped in the log" says "blob '\\eUO' is damaged"
	ok "blob: kernel is healthy" healthy
	kind=root
	;;
4)
	test=8
	ok "root: sessions are lost" luo_damage check root
	ok "root: built-in code is told of a loss" answers 74
	ok "root: kernel is healthy" healthy
	kind=scratch
	;;
5)
	test=11
	ok "scratch: sessions are lost" luo_damage check scratch
	ok "scratch: built-in code is told of a loss" answers 74
	ok "scratch: kernel is healthy" healthy
	exit
	;;
esac
load_next || fail "kexec did not load the next kernel"
luo_damage save "$kind" || fail "nothing was saved"
jump
fail "kexec did not jump"
