# SPDX-License-Identifier: GPL-2.0
# Included by the scripts that run in a guest (busybox sh).
# shellcheck shell=dash disable=SC2034,SC2119,SC2120 # includers give options and use what is set

# Number of this kernel in the row of kernels: 1 for the one QEMU started.
stage=$(sed -n 's/.*\bstage=\([0-9]*\).*/\1/p' /proc/cmdline)
stage=${stage:-1}

fail() { echo "$*" >&2; exit 1; }

# change_cmdline SCRIPT: the next kernels' command line is this one's as sed changes it.
change_cmdline() {
	cmdline=/tmp/cmdline
	sed "$1" /proc/cmdline >$cmdline
}

# load_next [OPTION]...: load this kernel, or $image, and this root file system
# as the next ones, with stage= counted on and otherwise this kernel's command
# line, or what stands in $cmdline. Options go to kexec.
load_next() {
	(cd / && printf '%s\n' boot boot/bzImage boot/initrd | cpio -o -H newc 2>/dev/null) >/tmp/next
	cat /boot/initrd >>/tmp/next
	kexec -s -l "${image:-/boot/bzImage}" --initrd=/tmp/next "$@" \
		--command-line="$(sed 's/ stage=[0-9]*//' "${cmdline:-/proc/cmdline}") stage=$((stage + 1))" || return
	rm /tmp/next
}

# save_coverage: in a kernel of CONFIG=coverage, say which code has run so far.
save_coverage() {
	find /sys/kernel/debug/gcov -name '*.gcda' 2>/dev/null | while read -r file; do
		echo "# gcda $stage $(basename "$file" .gcda) $(gzip <"$file" | base64 | tr -d '\n')"
	done
}

# What was written to the results channel is sent before the kernel goes away.
drain() { stty -F /dev/ttyS1 raw -echo; }

# Start the loaded kernel; returns only if that was refused.
jump() {
	drain
	kexec -e
}

# ok NAME COMMAND...: test number $test, which passes if the command does; else $bad is 1.
test=1
bad=0
ok() {
	local name=$1 result=ok
	shift
	"$@" >/tmp/output 2>&1 || result="not ok" bad=1
	sed 's/^\(# \)\?/# /' /tmp/output
	echo "$result $test $name"
	test=$((test + 1))
}

# within SECONDS COMMAND...: wait until the command succeeds, so long at most.
within() {
	local tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return
		sleep 0.1
	done
}

# Start this kernel, or $image, as the next one.
go_on() {
	load_next || fail "kexec did not load the next kernel"
	jump
	fail "kexec did not jump"
}
