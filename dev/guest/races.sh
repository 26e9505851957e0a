#!/bin/sh
# The threads of the selftests while KCSAN looks for data races; KTAP on stdout.
# shellcheck source=dev/guest/health.sh
. /guest/health.sh

kcsan=/sys/kernel/debug/kcsan

echo "TAP version 13"
echo "1..3"
if [ ! -w $kcsan ]; then
	echo "Bail out! no KCSAN: see CONFIG=kcsan"
	exit 1
fi
insmod /lib/luo_test_handlers.ko || exit
export LUO_LOAD='. /guest/lib.sh; load_next >&2'
export LUO_SECONDS="${seconds:-5}"
echo on >$kcsan
if /selftests/liveupdate/luo_threads >/tmp/results 2>&1; then
	result=ok
else
	result="not ok"
fi
echo off >$kcsan
sed 's/^/    /' /tmp/results
echo "$result 1 luo_threads"
# One that watches nothing finds nothing.
if grep -q '^setup_watchpoints: [1-9]' $kcsan; then
	echo "ok 2 KCSAN has watched"
else
	echo "not ok 2 KCSAN has watched"
fi
sed 's/^/# /' $kcsan
if healthy; then echo "ok 3 kernel is healthy"; else echo "not ok 3 kernel is healthy"; fi
