# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Guests: stock Debian cloud kernels, each with a small initrd that has busybox,
# the virtio drivers and what guest/ does with them.
#
# A guest kernel's directory holds its vmlinuz, release and modules (as a host
# kernel's, see kernels.sh) and busybox; a guest's, vmlinuz, the same as vmlinux, and
# initrd. What modules for it are built against is apart: few need it.

GUESTS=(6.12 6.1)
GUEST_MODULES=(virtio_pci virtio_console virtio_blk virtio_net button evdev)	# where they are modules

check_guest() {
	[[ " ${GUESTS[*]} " == *" $1 "* ]] || bad_usage "there is no guest '$1' (${GUESTS[*]})"
}

guest_dir() {
	echo "$CACHE/guest-$1-$(digest "$HERE/lib/guests.sh" "$HERE"/guest/*)"
}

fetch_guest_kernel() {
	local work=$CACHE/work/guest-kernel-$1 version=${1//./\\.} state headers

	kernel=$CACHE/guest-kernel-$1
	[ ! -d "$kernel" ] || return 0
	need_space 400
	kernel_state "$1"
	# Of each image there is, the newest with headers is one that can be had.
	headers=$(newest_package "$state" "linux-headers-$version\\.[0-9]+.*[0-9]-cloud-amd64")
	[ -n "$headers" ] || die "the mirror has no cloud kernel $1 for Debian 12"
	release=${headers#linux-headers-}
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	unpack_packages "$state" "$work/root" "linux-image-$release"
	unpack_packages machine "$work/busybox.deb" busybox-static
	echo "$release" >"$work/release"
	mv "$work/root/boot/vmlinuz-$release" "$work/vmlinuz"
	mv "$work/busybox.deb/bin/busybox" "$work/busybox"
	rm -rf "$work/root/boot" "$work/root/usr" "$work/busybox.deb"
	/sbin/depmod -b "$work/root" "$release" || die "cannot index the modules of $release"
	mv "$work" "$kernel"
}

is_built_in() {
	grep -q "/$1\.ko\$" "$kernel/root/lib/modules/$release/modules.builtin"
}

guest_initrd() {
	local root=$1 module file files place

	mkdir -p "$root"/{bin,dev,modules,proc,root,sys,tmp}
	cp "$kernel/busybox" "$root/bin/"
	ln -s busybox "$root/bin/sh"
	cp "$HERE"/guest/* "$root/bin/"
	mv "$root/bin/init" "$root/init"
	for module in "${GUEST_MODULES[@]}"; do
		! is_built_in "$module" || continue
		files=$(module_files "$module") || exit 1
		for file in $files; do
			place=/modules/$(basename "${file%.xz}")
			[ ! -e "$root$place" ] || continue
			copy_module "$file" "$root$place"
			echo "$place" >>"$root/modules/order"
		done
	done
}

part_guest() {
	local work=$CACHE/work/guest-$1 kernel release

	guest=$(guest_dir "$1")
	[ ! -d "$guest" ] || return 0
	ensure_packages "${PACKAGES_BASE[@]}"
	lock_cache
	[ ! -d "$guest" ] || return 0
	fetch_guest_kernel "$1"
	release=$(cat "$kernel/release")
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	mkdir -p "$work/done"
	guest_initrd "$work/root"
	pack_initrd "$work/root" >"$work/done/initrd"
	ln "$kernel/vmlinuz" "$work/done/vmlinuz"
	extract_vmlinux "$work/done/vmlinuz" "$work/done/vmlinux"
	mv "$work/done" "$guest"
	rm -rf "$work"
}

# Of the same release as the kernel that is there.
part_guest_kdir() {
	local work=$CACHE/work/guest-headers-$1 guest release state

	part_guest "$1"
	release=$(cat "$CACHE/guest-kernel-$1/release")
	headers=$CACHE/guest-headers-$release
	[ ! -d "$headers" ] || return 0
	lock_cache
	[ ! -d "$headers" ] || return 0
	need_space 200
	kernel_state "$1"
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	# shellcheck disable=SC2046 # package names, one a word
	unpack_packages "$state" "$work/root" $(header_packages "$state" "$release")
	place_headers "$work" "$release" "$headers"
	mv "$work" "$headers"
}

cmd_guest_kdir() {
	local headers name=${1:-6.12}

	check_guest "$name"
	part_guest_kdir "$name"
	readlink -f "$headers/kdir"
}

cmd_guest() {
	local guest

	[ $# -eq 1 ] || bad_usage "guest takes the kernel's name (${GUESTS[*]})"
	check_guest "$1"
	part_guest "$1"
	echo "$guest"
}
