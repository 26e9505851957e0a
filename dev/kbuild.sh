# SPDX-License-Identifier: GPL-2.0
# Included by what builds a kernel. The includer sets $linux (source), $out
# (results, with the objects in $out/obj), fragments (of configuration, one over
# the other) and variables (of the kernel's make).
# shellcheck shell=bash
# shellcheck disable=SC2154 # the includer's

cc=gcc
# Another build directory finds what this one compiled.
export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1
! command -v ccache >/dev/null || cc="ccache gcc"

# The same source gives the same image, whoever builds it and when.
export KBUILD_BUILD_USER=liveupdate KBUILD_BUILD_HOST=localhost KBUILD_BUILD_VERSION=1
KBUILD_BUILD_TIMESTAMP=$(date -u -d "@$BASE_EPOCH")
export KBUILD_BUILD_TIMESTAMP

kmake() { make -s -C "$linux" O="$out/obj" LOCALVERSION= CC="$cc" ${variables[@]+"${variables[@]}"} "$@"; }

# A later fragment overrides an earlier one.
merge() { grep -hoE '^CONFIG_[A-Za-z0-9_]+=.*' "${fragments[@]}" |
	awk -F= '!($1 in line) { order[n++] = $1 } { line[$1] = $0 }
		END { for (i = 0; i < n; i++) print line[order[i]] }'; }

# What the build was asked for is $out/requested.config, what did not come of it
# is printed.
configure() {
	local symbol
	mkdir -p "$out/obj"
	merge >"$out/requested.config"
	kmake KCONFIG_ALLCONFIG="$out/requested.config" allnoconfig >"$out/config.log" 2>&1 ||
		die "configuration failed: $(tail -n 1 "$out/config.log"): see $out/config.log"
	while read -r symbol; do
		grep -qxF "$symbol" "$out/obj/.config" || echo "$symbol"
	done < <(grep -v '=n$' "$out/requested.config")
}

# logged COMMAND...: run it with output to $out/build.log, show where it fails.
logged() {
	"$@" >"$out/build.log" 2>&1 && return
	grep -E -m 20 'error|Error|undefined|No space' "$out/build.log" >&2 || tail -n 20 "$out/build.log" >&2
	die "build failed: see $out/build.log"
}
