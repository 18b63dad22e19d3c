# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Host kernels. A kernel's directory holds:
#
#   release	as uname -r prints it
#   vmlinuz	for QEMU
#   vmlinux.flat, boot	for Bochs: the kernel as it lies in memory, and
#		"ENTRY FIRST_FREE_ADDRESS"
#   root/lib/modules/RELEASE	its modules
#   kdir	what to build modules against

KERNELS=(6.12 6.1 debug)
MORE_KERNELS=(6.12-rt)	# fetched when a run asks for them

check_kernel() {
	local known="${KERNELS[*]} ${MORE_KERNELS[*]}"

	[[ " $known " == *" $1 "* ]] || bad_usage "there is no kernel '$1' ($known)"
}

kernel_dir() {
	case $1 in
	debug) echo "$CACHE/kernel-debug-$(digest "$HERE/kernel/debug.config")" ;;
	*) echo "$CACHE/kernel-$1" ;;
	esac
}

part_kernel() {
	kernel=$(kernel_dir "$1")
	[ ! -d "$kernel" ] || return 0
	part_tools
	case $1 in
	debug) build_debug_kernel ;;
	*) fetch_debian_kernel "$1" ;;
	esac
}

# bzImage to ELF: the payload's place is in the setup header (boot protocol,
# payload_offset and payload_length); its last word is the unpacked size.
extract_vmlinux() {
	local image=$1 out=$2 sects offset length magic

	sects=$(od -An -tu1 -j 497 -N 1 "$image")
	offset=$(($(od -An -tu4 -j 584 -N 4 "$image") + (sects + 1) * 512))
	length=$(($(od -An -tu4 -j 588 -N 4 "$image") - 4))
	magic=$(od -An -tx1 -j "$offset" -N 4 "$image" | tr -d ' ')
	case $magic in
	28b52ffd) set -- zstd -dcq ;;
	02214c18) set -- lz4 -dcq ;;
	fd377a58) set -- xz -dcq --single-stream ;;
	1f8b*) set -- gzip -dcq ;;
	*) die "${image##*/} is compressed in a way that this script does not know ($magic)" ;;
	esac
	tail -c +$((offset + 1)) "$image" | head -c "$length" | "$@" >"$out" 2>/dev/null ||
		[ -s "$out" ] || die "cannot unpack ${image##*/}"
}

flatten_vmlinux() {
	"$tools/bootimage" flatten "$1" "$2/vmlinux.flat" >"$2/boot" || die "cannot prepare the kernel for Bochs"
}

# header_packages STATE RELEASE: what modules are built against is in several.
header_packages() {
	echo "linux-headers-$2"
	apt_in "$1" apt-cache depends "linux-headers-$2" |
		sed -n 's/.*Depends: \(linux-\(headers\|kbuild\)-.*\)/\1/p'
}

# They name their directory by its absolute place. WORK is going to be FINAL.
place_headers() {
	local work=$1 release=$2 final=$3

	sed -i "s|/usr/src/|$final/root/usr/src/|" "$work/root/usr/src/linux-headers-$release/Makefile"
	ln -s "root/usr/src/linux-headers-$release" "$work/kdir"
}

# Where the kernel's packages can be had: this machine's own suites, or else
# backports from the same mirror.
kernel_state() {
	local regex="linux-headers-${1//./\\.}\\..*-amd64"

	apt_lists machine
	if [ -n "$(newest_package machine "$regex")" ]; then
		state=machine
	else
		apt_suite backports deb bookworm-backports
		state=backports
	fi
}

fetch_debian_kernel() {
	local work=$CACHE/work/kernel-$1 version=${1%-rt} flavour='' state release headers

	ensure_packages "${PACKAGES_BASE[@]}"
	lock_cache
	[ ! -d "$kernel" ] || return 0
	need_space 1200
	kernel_state "$version"
	[ "$version" = "$1" ] || flavour=rt-
	headers=$(newest_package "$state" "linux-headers-${version//./\\.}\\.[0-9]+.*[0-9]-${flavour}amd64")
	[ -n "$headers" ] || die "the mirror has no kernel $1 for Debian 12"
	release=${headers#linux-headers-}
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	# shellcheck disable=SC2046 # package names, one a word
	unpack_packages "$state" "$work/root" "linux-image-$release" $(header_packages "$state" "$release")
	echo "$release" >"$work/release"
	mv "$work/root/boot/vmlinuz-$release" "$work/vmlinuz"
	extract_vmlinux "$work/vmlinuz" "$work/vmlinux"
	flatten_vmlinux "$work/vmlinux" "$work"
	place_headers "$work" "$release" "$kernel"
	# A good part of it is for what no emulated host has.
	rm -rf "$work/vmlinux" "$work/root/boot" \
		"$work/root/lib/modules/$release/kernel"/{sound,drivers/{gpu,media,net/wireless}}
	/sbin/depmod -b "$work/root" "$release" || die "cannot index the modules of $release"
	mv "$work" "$kernel"
}

# The sources of 6.12: for the debug kernel, checkpatch, the semantic patches
# of coccicheck, and kselftest's headers.
part_source() {
	local work=$CACHE/work/source state

	source=$CACHE/linux-source-6.12
	[ ! -d "$source" ] || return 0
	ensure_packages "${PACKAGES_BASE[@]}"
	lock_cache
	[ ! -d "$source" ] || return 0
	need_space 2500
	kernel_state 6.12
	rm -rf "$work"
	CLEAN_DIRS+=("$work")
	unpack_packages "$state" "$work" linux-source-6.12
	tar -xf "$work"/usr/src/linux-source-6.12.tar.xz -C "$work" || die "cannot unpack the sources of 6.12"
	mv "$work/linux-source-6.12" "$source"
	rm -rf "$work"
}

# Interrupted, it goes on where it was: the objects stay in the work folder.
build_debug_kernel() {
	local work=$CACHE/work/${kernel##*/} log=$CACHE/work/kernel-debug.log source obj

	ensure_packages "${PACKAGES_BASE[@]}" "${PACKAGES_KERNEL[@]}"
	part_source
	lock_cache
	[ ! -d "$kernel" ] || return 0
	need_space 1500
	say "building the debug kernel (6 to 20 minutes)"
	obj=$work/obj
	mkdir -p "$obj"
	: >"$log"
	[ -f "$obj/.config" ] ||
		attended_log "$log" make -C "$source" O="$obj" \
			KCONFIG_ALLCONFIG="$HERE/kernel/debug.config" allnoconfig ||
		build_failed "configuring the debug kernel" "$log"
	check_config "$HERE/kernel/debug.config" "$obj/.config"
	attended_log "$log" make -s -C "$source" O="$obj" -j"$(nproc)" bzImage modules ||
		build_failed "building the debug kernel" "$log"
	attended_log "$log" make -s -C "$source" O="$obj" INSTALL_MOD_PATH="$work/root" modules_install ||
		build_failed "installing the debug kernel's modules" "$log"
	cp "$obj/include/config/kernel.release" "$work/release"
	cp "$obj/arch/x86/boot/bzImage" "$work/vmlinuz"
	flatten_vmlinux "$obj/vmlinux" "$work"
	find "$obj" \( -name '*.o' -o -name '*.ko' -o -name '*.a' -o -name '*.cmd' \) \
		-not -path '*/scripts/*' -not -path '*/tools/*' -delete
	rm -f "$obj/vmlinux" "$obj/vmlinux.o" "$obj/arch/x86/boot/bzImage"
	ln -sfn obj "$work/kdir"
	mv "$work" "$kernel"
}

# Kconfig drops in silence what it cannot have.
check_config() {
	local line

	while IFS= read -r line; do
		grep -qxF -- "$line" "$2" || die "the debug kernel's configuration lost $line"
	done < <(grep '^CONFIG_' "$1")
}

cmd_kdir() {
	local kernel tools name=${1:-6.12}

	check_kernel "$name"
	part_kernel "$name"
	readlink -f "$kernel/kdir"
}

cmd_image() {
	local kernel tools name=${1:-6.12}

	check_kernel "$name"
	part_kernel "$name"
	echo "$kernel/vmlinux.flat"
}

cmd_source() {
	local source

	part_source
	echo "$source"
}
