# SPDX-License-Identifier: GPL-2.0
# Included by what judges the lines of a guest that runs dev/guest/linux.sh.
# shellcheck shell=dash

# judge [BEFORE STILL] <LINES: nothing was wrong, and uptime and wall clock keep together.
# With what it printed before an update in which the guest stood still for STILL ms:
# uptime went on, the clock is behind by that, and sleeps take no longer. Ends with a line
# of numbers: the clock at uptime 0, the longest step of uptime from line to line and
# the median of sleeps in hundredths, how far the clock is behind, the uptime in
# hundredths.
judge() {
	awk -v now="$(date +%s)" -v before="${1:-}" -v still="${2:-0}" '
		function wrong(what) { print what ":", $0; bad = 1 }
		function differ(a, b, by) { return a - b > by || b - a > by }
		BEGIN { known = split(before, was, ","); apart = was[1]; last = was[5] + 0 }
		$1 != "line" || NF != 6 { next }
		!lines++ && !known { apart = $3 - $2 / 100; last = $2 }
		$5 { wrong("memory or disk") }
		$2 < last { wrong("uptime goes back from " last) }
		differ($3 - $2 / 100, apart, 3) { wrong("uptime and clock part") }
		$4 < 20 { wrong("a sleep of 0.2 s is short") }
		{ sleeps[$4]++ }
		$2 - last > step { step = $2 - last }
		{ last = $2; wall = $3 }
		END {
			behind = now - wall
			for (slept = 0; lines && 2 * (seen += sleeps[slept]) < lines; slept++);
			if (known && slept > 3 * was[3] + 50) wrong("a sleep of 0.2 s takes " slept / 100 " s")
			if (known && step > 3 * was[2] + 500) wrong("uptime steps by " step / 100 " s")
			if (known && differ(behind, was[4] + still / 1000, 5 + step / 100)) wrong("the clock is " behind " s behind, stood still " still " ms")
			printf "%.2f,%d,%d,%d,%d\n", apart, step, slept, behind, last
			exit bad || !lines
		}'
}
