# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# KVM's own selftests, from the sources of 6.12: programs that a host runs on
# KVM and on Dragonfly, to see that they cannot tell one from the other.

peers_sources() {
	find "$source/tools/testing/selftests/kvm" "$source/include/uapi/linux/kvm.h" \
		"$source/arch/x86/include/uapi/asm/kvm.h" -type f -print0 | sort -z | xargs -0 cat
}

peers_dir() {
	echo "$CACHE/peers-$({ cat "$HERE/lib/peers.sh"; peers_sources; } | digest -)"
}

# Their makefile takes the kernel's headers from wherever it is told to, and
# leaves its objects there too: the sources stay as they are. Static, as some
# load a library only when they end a thread.
build_peers() {
	local work=$1 log=$2

	attended_log "$log" nice make -s -C "$source" O="$work/headers" ARCH=x86 headers ||
		build_failed "preparing the headers of 6.12" "$log"
	LDFLAGS=-static attended_log "$log" nice make -s -j"$(nproc)" -C "$source/tools/testing/selftests/kvm" \
		ARCH=x86 OUTPUT="$work/obj" KHDR_INCLUDES="-isystem $work/headers/usr/include" ||
		build_failed "building KVM's selftests" "$log"
}

part_peers() {
	local work=$CACHE/work/peers log=$CACHE/work/peers.log source

	ensure_packages "${PACKAGES_BASE[@]}"
	part_source
	peers=$(peers_dir)
	[ ! -d "$peers" ] || return 0
	lock_cache
	[ ! -d "$peers" ] || return 0
	need_space 300
	say "building KVM's selftests (about a minute)"
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	mkdir -p "$work/obj" "$work/done"
	: >"$log"
	build_peers "$work" "$log"
	find "$work/obj" -type f -perm /111 -exec strip {} + -exec mv -t "$work/done" {} + ||
		die "cannot put KVM's selftests together"
	mv "$work/done" "$peers"
	rm -rf "$work"
}

cmd_peers() {
	local peers

	part_peers
	echo "$peers"
}
