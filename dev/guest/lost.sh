#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What a kernel hands over to one like it is damaged where all starts: built-in code
# is told so, and not that there was nothing; TAP on stdout, in as many kernels as
# there are kinds of damage and one. Needs luo_early.session=hurt on the kernel's
# command line, and nokaslr: who places a kernel believes the list of scratch areas.
# only=KIND,... there asks for these.
# shellcheck source=dev/guest/lib.sh disable=SC2119,SC2154 # only is set by the kernel
. /guest/lib.sh
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

early=/sys/kernel/debug/liveupdate_early

# What luo_damage does on the way to each kernel, and what that one says of it.
kinds="tree blob name rename root clocks clocks-size scratch map area address length list-length"
[ -z "$only" ] || kinds=$(echo "$only" | tr , ' ')
complaint() {
	case $1 in
	blob | name) printf '%s\n' "blob '\eUO' is damaged" ;;
	rename) echo "nobody took blob 'MUO'" ;;
	root) echo "the previous kernel's sessions are lost: format" ;;
	clocks) echo "kho_clocks: the previous kernel measured other CPUs, or left nothing" ;;
	clocks-size) echo "kho_clocks: blob 'x86-clocks' is damaged" ;;
	map) echo "the preserved-memory map cannot be read" ;;
	tree | address | length) echo "handover tree at " ;;
	*) echo "scratch areas at " ;;
	esac
}

# shellcheck disable=SC2317 # called by what ok calls
# What built-in code is told at arch_initcall, about a session, an FLB, and another
# FLB. A blob of another name is none of LUO's.
answer() {
	case $1 in
	nothing | rename) echo "arch -2 0 0 -2 0 -2" ;;
	clocks*) echo "arch 0 0 [1-9][0-9]* -2 0 -2" ;;
	*) echo "arch -74 0 0 -74 0 -74" ;;
	esac
}
fate() { case $1 in clocks*) echo whole ;; *) echo lost ;; esac; }

# shellcheck disable=SC2317 # these are called by ok
answers() {
	cat "$early"
	grep -qx "$(answer "$1")" "$early"
}
# shellcheck disable=SC2317
says() { dmesg | grep -F "$1"; }

# shellcheck disable=SC2086 # a word for each kind
set -- $kinds
if [ "$stage" -eq 1 ]; then
	echo "1..$((1 + 4 * $#))"
	ok "there is nothing at first" answers nothing
else
	shift $((stage - 2))
	test=$((4 * stage - 6))
	# What takes longest is looked for in the last kernel only.
	[ $# -eq 1 ] || leaks=/nowhere
	ok "$1: sessions are $(fate "$1")" luo_damage check "$1"
	ok "$1: built-in code is told the truth" answers "$1"
	ok "$1: the log says so" says "$(complaint "$1")"
	ok "$1: kernel is healthy" healthy
	shift
fi
[ $# -gt 0 ] || exit 0
load_next || fail "kexec did not load the next kernel"
luo_damage save "$1" || fail "nothing was saved"
jump
fail "kexec did not jump"
