# SPDX-License-Identifier: GPL-2.0
# Included by the scripts that run in a guest (busybox sh).
# shellcheck shell=dash

leaks=/sys/kernel/debug/kmemleak

# kmemleak judges what it saw twice, and no object of less than 5 s when it begins.
look_for_leaks() {
	sleep 6 &
	echo scan >$leaks
	wait $!
	echo scan >$leaks
}

# Say what is wrong with this kernel after the tests, and fail. Warnings, oopses
# and reports of KASAN taint the kernel; lockdep switches itself off.
healthy() {
	taint=$(($(cat /proc/sys/kernel/tainted) & ~(1 << 18)))
	[ "$taint" = 0 ] || { echo "# the kernel is tainted: $taint"; return 1; }
	if grep -qs 'debug_locks: *0' /proc/lockdep_stats; then
		echo "# lockdep has found something"
		return 1
	fi
	[ -w $leaks ] || return 0
	look_for_leaks
	[ -n "$(head -c 1 $leaks)" ] || return 0
	head -n 100 $leaks | sed 's/^/# /'
	return 1
}
