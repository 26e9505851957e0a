# SPDX-License-Identifier: GPL-2.0
# Included by what gets packages from Debian: apt with lists, cache and sources
# of its own, in $tmp. The system's are not touched, and no package list of the
# system has to be fresh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # tmp is the includer's

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

debian_mirror() {
	# shellcheck disable=SC2016 # the variables are apt's
	apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 'Origin: Debian' 2>/dev/null | head -n 1
}

private_apt() {
	apt-get -o Dir::Etc::sourcelist="$tmp/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$tmp/lists" -o Dir::Cache="$tmp/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" >"$tmp/apt.log" 2>&1
}

apt_error() { grep -m 1 '^E: ' "$tmp/apt.log" || tail -n 1 "$tmp/apt.log"; }

# debian_get KIND SUITE WORD...: `apt-get WORD...` into $tmp, from the KIND (deb
# or deb-src) packages of SUITE. Says why not.
debian_get() {
	local kind=$1 suite=$2 mirror=${DEBIAN_MIRROR:-}
	shift 2
	command -v apt-get >/dev/null || { warn "Debian: skipped: no apt-get here"; return 1; }
	[ -n "$mirror" ] || mirror=$(debian_mirror)
	[ -n "$mirror" ] || { warn "Debian: apt has no Debian mirror: set DEBIAN_MIRROR=URL"; return 1; }
	mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
	echo "$kind [signed-by=$DEBIAN_KEYRING] $mirror $suite main" >"$tmp/sources.list"
	private_apt -o APT::Update::Error-Mode=any update ||
		{ warn "Debian: $(apt_error)"; return 1; }
	(cd "$tmp" && private_apt "$@") || { warn "Debian: $(apt_error)"; return 1; }
}

# debian_package NAME VERSION ARCH SUITE SHA256: leave the package in the cache
# and print where. Says why not.
debian_package() {
	local name=$1 version=$2 suite=$4 sha256=$5 file=$1_$2_$3.deb
	if [ -f "$CACHE/$file" ]; then
		if [ "$(sha256_of "$CACHE/$file")" = "$sha256" ]; then
			echo "$CACHE/$file"
			return
		fi
		warn "$CACHE/$file: refused: sha256 is not $sha256"
		rm -f "$CACHE/$file"
	fi
	debian_get deb "$suite" download "$name=$version" || return
	[ "$(sha256_of "$tmp/$file")" = "$sha256" ] ||
		{ warn "Debian: $file: refused: sha256 is not $sha256"; return 1; }
	mkdir -p "$CACHE"
	mv "$tmp/$file" "$CACHE/"
	echo "$CACHE/$file"
}

sha256_of() { sha256sum "$1" | cut -d' ' -f1; }
