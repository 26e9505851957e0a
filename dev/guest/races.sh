#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The threads of the selftests while KCSAN looks for data races; KTAP on stdout.
# shellcheck source=dev/guest/health.sh
. /guest/health.sh
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh

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
/selftests/liveupdate/luo_threads >/tmp/results 2>&1
code=$?
echo off >$kcsan
sed 's/^/    /' /tmp/results
ok "luo_threads" test $code = 0
# One that watches nothing finds nothing.
ok "KCSAN has watched" grep '^setup_watchpoints: [1-9]' $kcsan
sed 's/^/# /' $kcsan
ok "kernel is healthy" healthy
