#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Mistakes of dev/mutants, one after the other, in the kernel that holds them
# all. A line of /mutants.list: number of the mistake, kind, the suite that is run
# first. Of kind `one` it is run alone, of kind `leaks` kmemleak is asked at the
# end. `mutant N ...` on stdout says who noticed, if anybody, and `spoiled SUITE`
# that a mistake since the last change of suites keeps this one from passing.
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

suites=/sys/kernel/debug/kunit
chosen=/sys/module/kernel/parameters/luo_mutant
warnings=/sys/kernel/warn_count
# A list that is torn may warn for ever.
echo 1000 >/proc/sys/kernel/warn_limit

# A suite that does not end ends the machine.
run_suite() {
	echo 1 >"$suites/$1/run" &
	run=$!
	left=600
	while kill -0 $run 2>/dev/null; do
		usleep 200000
		left=$((left - 1))
		if [ $left = 0 ]; then
			echo "mutant $number $1: does not end"
			# Nobody can wait for it, so the shell can't exit.
			sleep 1
			poweroff -f
		fi
	done
	wait $run
}

# complaint SUITE: run it, and say what it or the kernel has to say.
complaint() {
	before=$(cat $warnings)
	run_suite "$1" >&3
	failed=$(sed -n 's/^ *not ok [0-9]* *-* *//p' "$suites/$1/results" | head -n 1)
	if [ -n "$failed" ]; then
		echo "$1: $failed"
	elif ! grep -q '^ok ' "$suites/$1/results"; then
		echo "$1: no result"
	elif [ "$(cat $warnings)" != "$before" ]; then
		echo "$1: the kernel warns"
	fi
}

leak() {
	look_for_leaks
	[ -n "$(head -c 1 $leaks)" ] && echo "kmemleak"
	echo clear >$leaks
}

try() {
	echo "$number" >$chosen
	for suite in $first $others; do
		said=$(complaint "$suite") || exit
		[ -z "$said" ] || break
	done
	[ -n "$said" ] || [ "$kind" != leaks ] || said=$(leak)
	echo 0 >$chosen
	echo "mutant $number ${said:-survived}"
	# lockdep reports once and is blind from then on.
	! grep -qs 'debug_locks: *0' /proc/lockdep_stats || exit 1
}

check_whole() {
	[ -z "$1" ] || [ -z "$(complaint "$1")" ] || { echo "spoiled $1"; exit 1; }
}

exec 3>&1
if [ ! -w $chosen ]; then
	echo "Bail out! the kernel holds no mistakes"
	exit 1
fi
last=
while read -r number kind first; do
	[ "$first" = "$last" ] || check_whole "$last"
	last=$first
	others=
	for suite in "$suites"/*/; do
		suite=$(basename "$suite")
		[ "$suite" = "$first" ] || others="$others $suite"
	done
	[ "$kind" != one ] || others=
	echo "mutant $number begins"
	try
done </mutants.list
check_whole "$last"
