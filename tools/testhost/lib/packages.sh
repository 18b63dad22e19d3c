# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Debian packages: tools are installed on the machine (the one use of root),
# everything else is unpacked in the cache. apt verifies each download by the
# hash that the archive has signed.

# What a build machine needs. The lists grow with the parts that are asked for.
PACKAGES_BASE=(binutils cpio gcc kmod libc6-dev lz4 make patch xz-utils zstd)
PACKAGES_BOCHS=(g++)
PACKAGES_KERNEL=(bc bison flex libelf-dev libssl-dev perl)
PACKAGES_LINT=(clang-format coccinelle perl shellcheck sparse)
PACKAGES_NEWER=(patchelf)	# for a kernel that is newer than this Debian
PACKAGES_QEMU=(qemu-system-x86)
PACKAGES_TOOL=(acpica-tools libjson-c-dev)

missing_packages() {
	local p

	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Abbrev}\n' "$p" 2>/dev/null | grep -q '^ii' || echo "$p"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		return 1
	fi
}

install_packages() {
	local log=$CACHE/work/packages.log

	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
		>>"$log" 2>&1 </dev/null
}

ensure_packages() {
	local missing

	command -v dpkg-query >/dev/null || die "this set-up needs Debian's package tools"
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	lock_cache
	: >"$CACHE/work/packages.log"
	say "installing packages: ${missing[*]}"
	install_packages "${missing[@]}" && return 0
	# Old package lists name files that mirrors no longer have.
	as_root apt-get update >>"$CACHE/work/packages.log" 2>&1 || true
	install_packages "${missing[@]}" ||
		die "cannot install packages (see $CACHE/work/packages.log); as root: apt-get install ${missing[*]}"
}

# apt_in STATE CMD...: an apt command on package lists of our own, so that the
# machine's configuration and lists stay as they are and root is not needed.
apt_in() {
	local state=$CACHE/apt/$1 cmd=$2
	local opts=(
		-o "Dir::State::lists=$state/lists"
		-o "Dir::Cache=$state/cache"
		-o APT::Sandbox::User=root
		-o Acquire::Retries=2
		-o Acquire::http::Timeout=30
	)

	shift 2
	[ ! -f "$state/sources" ] || opts+=(
		-o "Dir::Etc::sourcelist=$state/sources"
		-o Dir::Etc::sourceparts=/dev/null
	)
	"$cmd" "${opts[@]}" "$@"
}

# apt_lists STATE: fresh lists for it; those of the last day will do.
apt_lists() {
	local state=$CACHE/apt/$1 log=$CACHE/work/apt-$1.log

	[ -z "$(find "$state/stamp" -mtime -1 2>/dev/null)" ] || return 0
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	say "reading the package lists ($1)"
	if ! apt_in "$1" apt-get update >"$log" 2>&1 || grep -q '^[EW]: .*ailed to fetch' "$log"; then
		die "cannot reach the package mirror: $(grep -m1 -E '^[EW]:' "$log" || echo "see $log")"
	fi
	touch "$state/stamp"
}

# The URI of the mirror that this machine takes Debian's main archive from.
mirror_uri() {
	apt_lists machine
	# The format is apt's own.
	# shellcheck disable=SC2016
	apt_in machine apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT) $(LABEL)' \
		'Created-By: Packages' |
		awk '$2 == "Debian" && $3 == "main" && $4 == "Debian" && !n++ { print $1 }' || true
}

# apt_suite STATE TYPE SUITE: lists of another suite from the same mirror.
apt_suite() {
	local uri

	uri=$(mirror_uri) || exit 1
	[ -n "$uri" ] || die "this machine's package sources name no mirror of Debian's main archive"
	mkdir -p "$CACHE/apt/$1"
	printf '%s [signed-by=%s] %s %s main\n' "$2" \
		/usr/share/keyrings/debian-archive-keyring.gpg "$uri" "$3" >"$CACHE/apt/$1/sources"
	apt_lists "$1"
}

# newest_package STATE REGEX: the highest-versioned name that matches.
newest_package() {
	apt_in "$1" apt-cache pkgnames | grep -xE -- "$2" | sort -V | tail -n 1 || true
}

# Fetches packages and unpacks them below a directory.
unpack_packages() {
	local state=$1 into=$2 debs=$CACHE/work/debs log=$CACHE/work/fetch.log

	shift 2
	rm -rf "$debs"
	CLEAN_DIRS+=("$debs")
	mkdir -p "$debs" "$into"
	say "fetching $*"
	if ! (cd "$debs" && apt_in "$state" apt-get download "$@") >"$log" 2>&1; then
		# A list of yesterday may name what was replaced today.
		rm -f "$CACHE/apt/$state/stamp"
		apt_lists "$state"
		(cd "$debs" && apt_in "$state" apt-get download "$@") >"$log" 2>&1 ||
			die "cannot fetch $*: $(grep -m1 '^E:' "$log" || echo "see $log")"
	fi
	local deb
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$into" || die "cannot unpack ${deb##*/} in $into"
	done
	rm -rf "$debs"
}
