# SPDX-License-Identifier: GPL-2.0
# Shared by the bash programs of dev/: paths, messages, checks.
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by who includes it

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/linux-liveupdate
JOBS=${JOBS:-$(nproc)}
PROG=$(basename "$0")

# Options and variables of the make that started us are not for those we start.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

# Python started by the kernel's build would leave __pycache__ in the source.
export PYTHONDONTWRITEBYTECODE=1

# shellcheck source=dev/base
. "$ROOT/dev/base"

say() { printf '%s: %s\n' "$PROG" "$*"; }
warn() { printf '%s: %s\n' "$PROG" "$*" >&2; }
die() { warn "$@"; exit 1; }
usage_error() { warn "$*; try dev/$PROG --help"; exit 2; }

# make takes such a path for two.
[[ $BUILD != *[[:space:]:]* ]] || usage_error "BUILD=$BUILD: holds a space or a colon: name another directory"

# Print the comment block at the head of the running program, below its licence.
help() { sed -n '3,/^[^#]/{s/^# \{0,1\}//p}' "$0"; exit 0; }

# Answer --help; refuse any other option.
no_options() {
	case ${1-} in
	--help) help ;;
	-*) usage_error "unknown option: $1" ;;
	esac
}

# hold FILE: lock it until the program ends.
hold() {
	exec 9>"$1"
	flock -n 9 || { say "waiting for another run that holds $1"; flock 9; }
}

# While a program that says so lives, the clock of the suite that started it stands
# still: see dev/kit/limits.py.
building() { [ -z "${BUILDING:-}" ] || echo $$ >>"$BUILDING"; }

# need COMMAND...: stop, naming the packages, if a command is missing.
need() {
	local cmd missing=()
	for cmd; do
		command -v "$cmd" >/dev/null || missing+=("$cmd")
	done
	[ ${#missing[@]} -eq 0 ] ||
		die "missing command: ${missing[*]}: run 'make deps' (or install: $(package_of "${missing[@]}"))"
}

# package_of COMMAND...: the Debian packages that hold the commands.
package_of() {
	local cmd
	for cmd; do
		awk -v cmd="$cmd" '$1 == cmd { print $2; found = 1 }
			END { if (!found) print cmd }' "$ROOT/dev/packages"
	done | sort -u | paste -sd' '
}

# kernel_dir [CONFIG]: where the kernel of a configuration is built, lean if not said.
kernel_dir() {
	local name=${1:-lean}
	[ "$name" = lean ] || name=-$name
	echo "$BUILD/x86_64${name#lean}"
}

# need_space DIR GIGABYTES: stop unless so much is free where DIR will stand.
need_space() {
	local dir=$1 free
	while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
	free=$(df --output=avail -k "$dir" | tail -n 1)
	[ "$free" -ge $(($2 * 1024 * 1024)) ] ||
		die "$1: $((free / 1024)) MiB free, $2 GiB needed: make room or set BUILD= to a larger disk"
}
