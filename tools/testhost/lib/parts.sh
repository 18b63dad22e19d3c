# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The parts of a test host other than kernels: the emulator, and our own small
# programs. Each part_* leaves its directory in the variable of the same name;
# the directory's name carries a digest of what the part was made from.

BOCHS_VERSION=3.0+dfsg
BOCHS_SUITE=trixie
BOCHS_SHA256=78f6c73d4a6472d5130a87ab9dc306d02c7c71ed8e25b3a8ef642e2a7acd282b

# No -march=native: the cache may move between machines. No show-ips: its
# signal handler logs while the log's mutex is held, and the emulator hangs.
BOCHS_CONFIGURE=(
	--enable-cpu-level=6 --enable-x86-64 --enable-smp --enable-vmx=2
	--enable-avx --enable-evex --enable-cet --enable-protection-keys
	--enable-uintr --enable-memtype --enable-all-optimizations
	--enable-pci --enable-e1000 --enable-repeat-speedups
	--disable-show-ips --with-nogui --disable-docbook
	"CFLAGS=-O3 -pipe" "CXXFLAGS=-O3 -pipe"
)

BOCHS_BIOS=BIOS-bochs-latest

bochs_dir() {
	echo "$CACHE/bochs-$({ echo "$BOCHS_SHA256 ${BOCHS_CONFIGURE[*]} vmx-locked"; cat "$HERE"/bochs/*.patch; } | digest -)"
}

fetch_bochs_source() {
	local tarball=$1 uri

	[ ! -s "$tarball" ] || return 0
	apt_suite "$BOCHS_SUITE" deb-src "$BOCHS_SUITE"
	# The archive's .dsc may be gone while the tarball is still there, so that
	# "apt-get source" itself would give up.
	uri=$(apt_in "$BOCHS_SUITE" apt-get source --print-uris bochs 2>/dev/null |
		sed -n "s|^'\([^']*\)' bochs_.*orig\.tar\.xz .*SHA256:$BOCHS_SHA256\$|\1|p" || true)
	[ -n "$uri" ] || die "the mirror's $BOCHS_SUITE no longer has Bochs $BOCHS_VERSION with the hash that this script knows"
	say "fetching the sources of Bochs $BOCHS_VERSION"
	/usr/lib/apt/apt-helper download-file "$uri" "$tarball.part" "SHA256:$BOCHS_SHA256" \
		>"$CACHE/work/fetch.log" 2>&1 ||
		{ rm -f "$tarball.part"; die "cannot fetch the sources of Bochs: $(grep -m1 '^E:' "$CACHE/work/fetch.log")"; }
	mv "$tarball.part" "$tarball"
}

# A firmware whose set-up has VMX disabled: where the BIOS sets bits 0 (lock)
# and 2 (VMX) of IA32_FEATURE_CONTROL, for the first CPU and for the others,
# this one sets the lock alone.
lock_vmx_in_bios() {
	LC_ALL=C sed 's/\(\xb9\x3a\x00\x00\x00\x0f\x32\x83\xc8\)\x05/\1\x01/g
		s/\(\xb9\x3a\x00\x00\x00\x0f\x32\x66\x83\xc8\)\x05/\1\x01/g' "$1" >"$2"
	[ "$(cmp -l "$1" "$2" | wc -l)" -eq 2 ] || die "${1##*/} does not set IA32_FEATURE_CONTROL as expected"
}

part_bochs() {
	local work=$CACHE/work/bochs log=$CACHE/work/bochs.log patch

	bochs=$(bochs_dir)
	[ ! -d "$bochs" ] || return 0
	ensure_packages "${PACKAGES_BASE[@]}" "${PACKAGES_BOCHS[@]}"
	lock_cache
	[ ! -d "$bochs" ] || return 0
	need_space 400
	fetch_bochs_source "$CACHE/work/bochs.tar.xz"
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	mkdir -p "$work/done"
	apt_lists machine
	unpack_packages machine "$work/firmware" bochsbios vgabios
	tar -xf "$CACHE/work/bochs.tar.xz" -C "$work" --strip-components=1 ||
		die "cannot unpack the sources of Bochs"
	for patch in "$HERE"/bochs/*.patch; do
		patch -s -d "$work" -p1 <"$patch" || die "${patch##*/} does not apply"
	done
	say "building the emulator (about a minute)"
	: >"$log"
	attended_log "$log" env -C "$work" ./configure "${BOCHS_CONFIGURE[@]}" ||
		build_failed "configuring the emulator" "$log"
	attended_log "$log" make -C "$work" -j"$(nproc)" bochs || build_failed "building the emulator" "$log"
	strip "$work/bochs"
	cp "$work/bochs" "$work/firmware/usr/share/bochs/$BOCHS_BIOS" \
		"$work/firmware/usr/share/vgabios/vgabios.bin" "$work/done/"
	lock_vmx_in_bios "$work/done/$BOCHS_BIOS" "$work/done/BIOS-vmx-locked"
	mv "$work/done" "$bochs"
	rm -rf "$work" "$CACHE/work/bochs.tar.xz"
}

# The agent, the supervisor, the boot sector and the initrd they all share.
tools_dir() {
	echo "$CACHE/tools-$(digest "$HERE"/agent/*.c "$HERE"/agent/etc/* "$HERE"/boot/* "$HERE"/*.[ch])"
}

base_initrd() {
	local root=$1/root applet

	mkdir -p "$root"
	merged_usr "$root"
	unpack_packages machine "$1/busybox" busybox-static
	cp "$1/busybox/bin/busybox" "$root/usr/bin/"
	for applet in $("$root/usr/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -sf busybox "$root/usr/bin/$applet"
	done
	cp "$1/done/init" "$root/init"
	cp -r "$HERE/agent/etc" "$root/"
	pack_initrd "$root" >"$1/done/base.cpio"
	rm "$1/done/init"
}

part_tools() {
	local work=$CACHE/work/tools log=$CACHE/work/tools.log

	tools=$(tools_dir)
	[ ! -d "$tools" ] || return 0
	ensure_packages "${PACKAGES_BASE[@]}"
	lock_cache
	[ ! -d "$tools" ] || return 0
	need_space 50
	apt_lists machine
	say "building the agent"
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	mkdir -p "$work/done"
	: >"$log"
	attended_log "$log" make -C "$HERE" OUT="$work/done" || build_failed "building the agent" "$log"
	base_initrd "$work"
	mv "$work/done" "$tools"
	rm -rf "$work"
}

cmd_setup() {
	local part bochs tools kernel peers guest backends parts=("$@")

	[ $# -gt 0 ] || parts=(packages bochs tools "${KERNELS[@]}" source peers "${GUESTS[@]/#/guest-}" backends)
	for part in "${parts[@]}"; do
		case $part in
		bochs | tools | source | peers | backends | packages | tool) ;;
		guest-*) check_guest "${part#guest-}" ;;
		*) check_kernel "$part" ;;
		esac
	done
	for part in "${parts[@]}"; do
		case $part in
		bochs) part_bochs ;;
		tools) part_tools ;;
		source) part_source ;;
		peers) part_peers ;;
		guest-*) part_guest "${part#guest-}" ;;
		backends) part_backends ;;
		tool) ensure_packages "${PACKAGES_BASE[@]}" "${PACKAGES_TOOL[@]}" ;;
		packages)
			ensure_packages "${PACKAGES_BASE[@]}" "${PACKAGES_BOCHS[@]}" \
				"${PACKAGES_KERNEL[@]}" "${PACKAGES_LINT[@]}" "${PACKAGES_NEWER[@]}" "${PACKAGES_QEMU[@]}" "${PACKAGES_TOOL[@]}"
			;;
		*) part_kernel "$part" ;;
		esac
	done
	say "everything is there: ${parts[*]}"
}
