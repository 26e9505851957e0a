#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The results of the KUnit suites that ran at boot; KTAP on stdout.
# shellcheck source=dev/guest/health.sh
. /guest/health.sh
# shellcheck source=dev/guest/lib.sh
. /guest/lib.sh

set -- /sys/kernel/debug/kunit/*/results
if [ ! -e "$1" ]; then
	echo "Bail out! no suite ran: see the kernel's log"
	exit 1
fi
echo "TAP version 13"
echo "1..$(($# + 1))"
for suite in "$@"; do
	# Each file is a test of its own: what is not indented is said here again.
	# KUnit plans no parameters, but says how many there were.
	sed -n 's/^    # .*: pass:.* total:\([0-9]*\)$/        1..\1/; /^ /p' "$suite"
	ok "$(basename "$(dirname "$suite")")" grep -q '^ok ' "$suite"
done
ok "kernel is healthy" healthy
save_coverage
