# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What is there, what is missing and what it would cost to get.

# report NAME DIR COST
report() {
	if [ -d "$2" ]; then
		printf '%-10s there     %s in %s\n' "$1" "$(du -sh "$2" | cut -f1)" "$2"
	else
		printf '%-10s missing   %s: testhost setup %s\n' "$1" "$3" "$1"
		lacking=1
	fi
}

report_packages() {
	local absent

	absent=$(missing_packages "${@:2}" | xargs)
	if [ -z "$absent" ]; then
		printf '%-10s there     %s\n' packages "$1"
	else
		printf '%-10s missing   %s, up to 200 MB: as root, apt-get install %s\n' packages "$1" "$absent"
		lacking=1
	fi
}

# What they are built from tells their directory.
report_peers() {
	local source=$CACHE/linux-source-6.12 dir=$CACHE/peers

	[ ! -d "$source" ] || dir=$(peers_dir)
	report peers "$dir" "sources, about 1 minute to build, 90 MB"
}

cmd_doctor() {
	local lacking=0 free kernel cost guest

	[ $# -eq 0 ] || bad_usage "doctor takes no arguments"
	if has_nested_kvm; then
		printf '%-10s kvm       this machine has VMX: hosts run nested in QEMU\n' engine
	else
		printf '%-10s bochs     no VMX here, or no /dev/kvm: hosts run in the emulator\n' engine
	fi
	report bochs "$(bochs_dir)" "4 MB to fetch, about 1 minute to build, 7 MB"
	report tools "$(tools_dir)" "2 MB to fetch, seconds to build, 6 MB"
	for kernel in "${KERNELS[@]}"; do
		case $kernel in
		debug) cost="sources, 6 to 20 minutes to build, 180 MB" ;;
		7.2) cost="190 MB to fetch, 340 MB" ;;
		*) cost="80 to 130 MB to fetch, 200 to 400 MB" ;;
		esac
		report "$kernel" "$(kernel_dir "$kernel")" "$cost"
	done
	report source "$CACHE/linux-source-6.12" "150 MB to fetch, 1.7 GB"
	report_peers
	for guest in "${GUESTS[@]}"; do
		report "guest-$guest" "$(guest_dir "$guest")" "12 to 30 MB to fetch, 30 to 95 MB"
	done
	report backends "$(backends_dir)" "30 MB to fetch, 16 MB"
	report_packages "for building" "${PACKAGES_BASE[@]}" "${PACKAGES_BOCHS[@]}"
	report_packages "for the debug kernel" "${PACKAGES_KERNEL[@]}"
	report_packages "for the kernel 7.2" "${PACKAGES_NEWER[@]}"
	report_packages "for the tool" "${PACKAGES_TOOL[@]}"
	report_packages "for make lint" "${PACKAGES_LINT[@]}"
	report_packages "for the engines kvm and tcg" "${PACKAGES_QEMU[@]}"
	mkdir -p "$CACHE"
	free=$(df -Pm "$CACHE" | awk 'NR == 2 { print $4 }')
	printf '%-10s %s MiB free for %s\n' space "$free" "$CACHE"
	return "$lacking"
}
