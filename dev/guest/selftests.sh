#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel's selftests in /selftests, by their own runner; KTAP on stdout.
# shellcheck source=dev/guest/health.sh
. /guest/health.sh
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh

# A runner that did not find anything to run has no results at all.
# shellcheck disable=SC2317 # called by ok
passed() { ! grep -q '^not ok' /tmp/results && grep -q '^ok ' /tmp/results; }

echo "TAP version 13"
echo "1..2"
if [ ! -c /dev/liveupdate ]; then
	echo "Bail out! no /dev/liveupdate: see the kernel's log"
	exit 1
fi
# Those of mainline need no module.
[ ! -e /lib/luo_test_handlers.ko ] || insmod /lib/luo_test_handlers.ko || exit
# For those that are called off half way into the next kernel.
export LUO_LOAD='. /guest/lib.sh; load_next >&2'
cd /selftests || exit
# The runner appends to it.
ln -s /proc/self/fd/1 /dev/stdout
# shellcheck disable=SC2154 # only is set by the kernel
what=${only:+-t liveupdate:$only}
# What the runner shows of a program's results as a comment are subtests here.
# shellcheck disable=SC2086 # two words
./run_kselftest.sh ${what:--c liveupdate} >>/tmp/results 2>&1
sed 's/^# /    /; s/^/    /' /tmp/results
ok "selftests" passed
ok "kernel is healthy" healthy
save_coverage
