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
#   gcc		what builds them, if this machine's own compiler is too old

KERNELS=(6.12 6.1 debug)
MORE_KERNELS=(6.12-rt 7.2)	# fetched when a run asks for them

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

# dependencies STATE PACKAGE KIND: of a kernel's package, those that are parts of it.
dependencies() {
	apt_in "$1" apt-cache depends "$2" | sed -n "s/.*Depends: \\(linux-\\($3\\)-.*\\)/\\1/p"
}

# image_packages, header_packages STATE RELEASE: the kernel, and what modules are built
# against, are in several each.
image_packages() {
	echo "linux-image-$2"
	dependencies "$1" "linux-image-$2" 'base\|binary\|modules'
}

header_packages() {
	echo "linux-headers-$2"
	dependencies "$1" "linux-headers-$2" 'headers\|kbuild'
}

# They name their directory by its absolute place. WORK is going to be FINAL.
place_headers() {
	local work=$1 release=$2 final=$3

	sed -i "s|/usr/src/|$final/root/usr/src/|" "$work/root/usr/src/linux-headers-$release/Makefile"
	ln -s "root/usr/src/linux-headers-$release" "$work/kdir"
}

# Programs of another Debian, with its libraries, run where they lie.
# place_programs ROOT DIR...
place_programs() {
	local libs=$1/usr/lib/x86_64-linux-gnu file

	shift
	while IFS= read -r -d '' file; do
		[ -n "$(patchelf --print-interpreter "$file" 2>/dev/null)" ] || continue
		patchelf --set-interpreter "$libs/ld-linux-x86-64.so.2" --force-rpath \
			--set-rpath "$libs" "$file" || die "cannot place ${file##*/}"
	done < <(find "$@" -type f -perm /111 -print0)
}

# A kernel that another Debian's compiler has built, with what this one's does not
# know, wants its modules from the same; and its kbuild is of that Debian, too.
place_compiler() {
	local work=$1 release=$2 final=$3 headers packages tool

	headers=$work/root/usr/src/linux-headers-$release
	ensure_packages "${PACKAGES_NEWER[@]}"
	: >"$work/nothing"
	mapfile -t packages < <(apt_in "$state" apt-get -o Dir::State::status="$work/nothing" \
		install -y --no-install-recommends --print-uris "linux-headers-$release" |
		sed -n "s/^'.*' \([^_]*\)_.*\.deb .*/\1/p" | grep -vE '^linux-|^debconf$|^lib[a-z]*san[0-9]*$')
	unpack_packages "$state" "$work/gcc" "${packages[@]}"
	rm -rf "$work/nothing" "$work"/gcc/usr/share "$work"/gcc/usr/bin/*lto-dump* "$work"/gcc/usr/libexec/gcc/*/*/lto1
	place_programs "$final/gcc" "$work"/gcc/usr/{bin,libexec} "$work"/root/usr/lib/linux-kbuild-*
	tool=$final/gcc/usr/bin/x86_64-linux-gnu-
	sed -i "s|^\(override CROSS_COMPILE = \).*|\1$tool|; s|^CC = .*|& -B$tool|" "$headers/.kernelvariables"
	echo "override PAHOLE = $final/gcc/usr/bin/pahole" >>"$headers/.kernelvariables"
}

# Where the kernel's packages can be had: this machine's own suites, or else
# another from the same mirror.
kernel_state() {
	local regex="linux-headers-${1//./\\.}\\..*-amd64"

	apt_lists machine
	if [ -n "$(newest_package machine "$regex")" ]; then
		state=machine
	elif [ "$1" = 7.2 ]; then
		apt_suite sid deb sid
		state=sid
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
	unpack_packages "$state" "$work/root" $(image_packages "$state" "$release") $(header_packages "$state" "$release")
	[ -d "$work/root/lib" ] || ln -s usr/lib "$work/root/lib"
	echo "$release" >"$work/release"
	mv "$work/root/boot/vmlinuz-$release" "$work/vmlinuz" 2>/dev/null ||
		mv "$work/root/lib/modules/$release/vmlinuz" "$work/vmlinuz"
	extract_vmlinux "$work/vmlinuz" "$work/vmlinux"
	flatten_vmlinux "$work/vmlinux" "$work"
	place_headers "$work" "$release" "$kernel"
	[ "$state" != sid ] || place_compiler "$work" "$release" "$kernel"
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
