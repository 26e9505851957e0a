# SPDX-License-Identifier: GPL-2.0
# Included by the suites written in bash.
# shellcheck shell=bash

# shellcheck source=dev/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$ROOT" || exit
tests=0

# check NAME COMMAND...: a test that passes if the command does.
check() {
	local name=$1 output
	shift
	tests=$((tests + 1))
	if output=$("$@" 2>&1); then
		echo "ok $tests $name"
	else
		echo "not ok $tests $name"
		printf '%s\n' "$output" | tail -n 50 | sed 's/^/# /'
	fi
}

# subtest NAME COMMAND...: a test that passes if the command's own do. It fails if it
# has none.
subtest() {
	local name=$1 result=ok
	shift
	tests=$((tests + 1))
	echo "# Subtest: $name"
	"$@" | awk '/not ok/ { bad = 1 } /^ *ok/ { any = 1 } !/^TAP/ { print "    " $0 }
		    END { exit bad || !any }' || result="not ok"
	echo "$result $tests $name"
}

# no_warning [CONFIG]: the compiler had no warning when it built that kernel.
no_warning() {
	local log
	log=$(kernel_dir "${1:-}")/build.log
	[ -e "$log" ] && ! grep -E 'warning:' "$log"
}

finish() { echo "1..$tests"; }
