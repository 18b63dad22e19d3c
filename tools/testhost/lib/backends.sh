# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What serves queues in a host: Debian's own qemu-storage-daemon, vdpa, ip and
# bridge; and trace-cmd, which looks on. Nothing is installed for them: they and the
# libraries that this machine does not need are unpacked in the cache.
#
# The part is a /usr to be added to a host: bin and lib/x86_64-linux-gnu.

BACKEND_PACKAGES=(qemu-system-common iproute2 trace-cmd)
BACKENDS=(usr/bin/qemu-storage-daemon usr/bin/trace-cmd sbin/vdpa bin/ip sbin/bridge)

backends_dir() {
	echo "$CACHE/backends-$(digest "$HERE/lib/backends.sh")"
}

# The libraries that packages depend on, as if nothing were installed. The C
# library is this machine's, as it is for every program that a host is given.
libraries_for() {
	apt_in machine apt-get -o Dir::State::status=/dev/null --no-install-recommends -s install "$@" 2>/dev/null |
		sed -n 's/^Inst \(lib[^ ]*\) .*/\1/p' | grep -vx libc6
}

# take_program FROM PROGRAM TO
take_program() {
	local from=$1 to=$3 lib libs

	libs=$(LD_LIBRARY_PATH=$from/lib/x86_64-linux-gnu:$from/usr/lib/x86_64-linux-gnu libraries_of "$from/$2") || exit 1
	cp "$from/$2" "$to/bin/"
	for lib in $libs; do
		[[ $lib != "$from"/* ]] || cp -L "$lib" "$to/lib/x86_64-linux-gnu/"
	done
}

part_backends() {
	local work=$CACHE/work/backends libraries program

	backends=$(backends_dir)
	[ ! -d "$backends" ] || return 0
	ensure_packages "${PACKAGES_BASE[@]}"
	lock_cache
	[ ! -d "$backends" ] || return 0
	need_space 300
	apt_lists machine
	mapfile -t libraries < <(libraries_for "${BACKEND_PACKAGES[@]}")
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	mkdir -p "$work"/done/{bin,lib/x86_64-linux-gnu}
	unpack_packages machine "$work/root" "${BACKEND_PACKAGES[@]}" "${libraries[@]}"
	for program in "${BACKENDS[@]}"; do
		take_program "$work/root" "$program" "$work/done"
	done
	mv "$work/done" "$backends"
	rm -rf "$work"
}

cmd_backends() {
	local backends

	[ $# -eq 0 ] || bad_usage "backends takes no arguments"
	part_backends
	echo "$backends"
}
