# Included by the scripts that run in a guest (busybox sh).
# shellcheck shell=dash

leaks=/sys/kernel/debug/kmemleak

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
	# Objects younger than 5 s are not judged, and the first look may be wrong.
	sleep 6
	echo scan >$leaks
	echo scan >$leaks
	[ -n "$(head -c 1 $leaks)" ] || return 0
	head -n 100 $leaks | sed 's/^/# /'
	return 1
}
