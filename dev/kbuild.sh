# SPDX-License-Identifier: GPL-2.0
# Included by what builds a kernel. The includer sets $linux (source), $out
# (results, with the objects in $out/obj), fragments (of configuration, one over
# the other) and variables (of the kernel's make).
# shellcheck shell=bash
# shellcheck disable=SC2154 # the includer's

fragments=() variables=()

cc=gcc
# Another build directory finds what this one compiled.
export CCACHE_BASEDIR=$BUILD CCACHE_NOHASHDIR=1
! command -v ccache >/dev/null || cc="ccache gcc"

# The same source gives the same image, whoever builds it and when.
export KBUILD_BUILD_USER=liveupdate KBUILD_BUILD_HOST=localhost KBUILD_BUILD_VERSION=1
KBUILD_BUILD_TIMESTAMP=$(date -u -d "@$BASE_EPOCH")
export KBUILD_BUILD_TIMESTAMP

kmake() { make -C "$linux" O="$out/obj" LOCALVERSION= CC="$cc" ${variables[@]+"${variables[@]}"} "$@"; }

# add_fragment NAME: dev/config/NAME.config, and what it says that it is over, go over
# the fragments so far.
add_fragment() {
	local file=$ROOT/dev/config/$1.config under
	[ -f "$file" ] || usage_error "CONFIG=$CONFIG: no $file"
	[[ " ${fragments[*]} " != *" $file "* ]] || return 0
	while read -r under; do
		add_fragment "$under"
	done < <(sed -n 's/^# Over \([a-z]*\)\.config: .*/\1/p' "$file")
	fragments+=("$file")
	[ ! -f "${file%config}make" ] || mapfile -t -O ${#variables[@]} variables \
		< <(grep -v '^#' "${file%config}make")
}

# add_fragments CONFIG: lean, and what CONFIG names with `-` between.
add_fragments() {
	local name names
	IFS=- read -ra names <<<"lean-${1#lean}"
	for name in "${names[@]}"; do add_fragment "$name"; done
}

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
	kmake -s KCONFIG_ALLCONFIG="$out/requested.config" allnoconfig >"$out/config.log" 2>&1 ||
		die "configuration failed: $(tail -n 1 "$out/config.log"): see $out/config.log"
	while read -r symbol; do
		grep -qxF "$symbol" "$out/obj/.config" || echo "$symbol"
	done < <(grep -v '=n$' "$out/requested.config")
}

# How many objects the uppermost fragment that says so makes.
expected() { cat /dev/null "${fragments[@]}" | sed -n 's/^# About \([0-9]*\) objects\.$/\1/p' | tail -n 1; }

# Say each 15 seconds, or PROGRESS, how far a build is: how many objects there are of
# how many, or, where there was a kernel before, how many were made anew.
tell_progress() {
	local began=$SECONDS far total
	total=$(expected)
	[ ! -e "$out/bzImage" ] || total=
	while sleep "${PROGRESS:-15}" && kill -0 $$ 2>/dev/null; do
		if [ -n "$total" ]; then
			far="$(find "$out/obj" -name '*.o' | wc -l) of about $total objects"
		else
			far="$(grep -cE '^  (AS|CC|HOSTCC) ' "$out/build.log" || true) objects"
		fi
		say "$far, $((SECONDS - began)) s"
	done
}

# logged COMMAND...: run it with output to $out/build.log, show where it fails.
logged() {
	local teller status=0
	: >"$out/build.log"
	tell_progress 9>&- &
	teller=$!
	"$@" >>"$out/build.log" 2>&1 || status=$?
	kill $teller 2>/dev/null || true
	wait $teller 2>/dev/null || true
	[ $status != 0 ] || return 0
	grep -vE '^  [A-Z]' "$out/build.log" | grep -E -m 20 'error|Error|undefined|No space' >&2 ||
		tail -n 20 "$out/build.log" >&2
	die "build failed: see $out/build.log"
}
