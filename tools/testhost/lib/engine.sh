# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Starting a host: the options of run and shell, and each engine's command.

# Quiet, but with warnings: each character of the serial console costs the
# emulator thousands of instructions. The whole kernel log comes through the
# agent. oops=panic ends a run that has nothing more to say.
HOST_CMDLINE="console=ttyS0,115200 earlyprintk=ttyS0,115200 loglevel=5 nokaslr oops=panic cryptomgr.notests"

BOCHS_CLOCK=100000000	# instructions to an emulated second

# The CPU models' CPUID claims a TSC of some GHz; it counts instructions, as
# everything here does. Told so, the kernel's seconds last as long as the
# devices', and a sleep costs the emulator a twentieth.
BOCHS_CMDLINE="tsc_early_khz=$((BOCHS_CLOCK / 1000))"
BOCHS_HOST_MIB=2048	# of its guest's memory Bochs keeps that much in its own

has_nested_kvm() {
	grep -qw vmx /proc/cpuinfo && { : <>/dev/kvm; } 2>/dev/null
}

# "512M", "2G" or "512" in MiB.
parse_mem() {
	local size=${1%[MmGg]}

	is_between "$size" 1 999999 || bad_usage "'$1' is no size of memory (like 2G or 512M)"
	case $1 in
	*[Gg]) size=$((10#$size * 1024)) ;;
	esac
	is_between "$size" 256 65536 || bad_usage "the host needs between 256M and 64G of memory, not $1"
	mem=$((10#$size))
}

parse_run() {
	while [ $# -gt 0 ]; do
		case $1 in
		--)
			shift
			command=("$@")
			return
			;;
		--vmx-locked)
			bios=BIOS-vmx-locked
			shift
			continue
			;;
		--*=*)
			set -- "${1%%=*}" "${1#*=}" "${@:2}"
			continue
			;;
		esac
		case $1 in
		--engine | --kernel | --cpu-model | --cpus | --mem | --with | --module-arg | --kmod | --add | \
			--append | --expect | --timeout | --log)
			if [ $# -lt 2 ] || [ "$2" = -- ]; then
				bad_usage "$1 needs a value"
			fi
			;;
		*) bad_usage "there is no option '$1' (the command comes after --)" ;;
		esac
		case $1 in
		--engine) engine=$2 ;;
		--kernel) kernel_name=$2 ;;
		--cpu-model) cpu_model=$2 ;;
		--cpus) cpus=$2 ;;
		--mem) parse_mem "$2" ;;
		--with) with=$2 ;;
		--module-arg) module_args+=("$2") ;;
		--kmod) kmods+=("$2") ;;
		--add) added+=("$2") ;;
		--append) append+=" $2" ;;
		--expect) expect=$2 ;;
		--timeout) timeout=$2 ;;
		--log) log=$2 ;;
		esac
		shift 2
	done
}

check_run() {
	local arg

	case $engine in
	auto) if has_nested_kvm; then engine=kvm; else engine=bochs; fi ;;
	bochs | tcg) ;;
	kvm) has_nested_kvm || die "the kvm engine needs a processor with VMX and a /dev/kvm that opens; try --engine bochs" ;;
	*) bad_usage "there is no engine '$engine' (auto, bochs, kvm, tcg)" ;;
	esac
	case $with in
	dragonfly | kvm | none) ;;
	*) bad_usage "there is no hypervisor '$with' (dragonfly, kvm, none)" ;;
	esac
	check_kernel "$kernel_name"
	is_between "$cpus" 1 8 || bad_usage "--cpus takes a number from 1 to 8, not '$cpus'"
	is_between "$timeout" 0 86400 || bad_usage "--timeout takes seconds up to a day, not '$timeout'"
	for arg in "${module_args[@]}"; do
		[[ $arg =~ ^[A-Za-z0-9_.]+=[^[:space:]]*$ ]] || bad_usage "'$arg' is no module parameter (A=B)"
		[ "$with" != none ] || bad_usage "--module-arg needs --with dragonfly or --with kvm"
	done
	if [ "$bios" != "$BOCHS_BIOS" ] && [ "$engine" != bochs ]; then
		bad_usage "--vmx-locked works on Bochs only"
	fi
	[ "$mode" = shell ] || [ ${#command[@]} -gt 0 ] || bad_usage "there is no command to run (after --)"
	[ "$mode" = run ] || [ -t 0 ] || die "shell needs a terminal"
	for arg in "${added[@]}"; do
		[ -e "$arg" ] || [ -e "${arg%:*}" ] || die "cannot add ${arg%:*}: there is no such file"
	done
	if [ -n "$log" ] && ! { : >"$log"; } 2>/dev/null; then
		die "cannot write the log $log"
	fi
}

check_bochs_model() {
	local models

	models=$("$bochs/bochs" --help cpu 2>&1 | grep -xE '[a-z0-9_]+' || true)
	grep -qxF -- "$1" <<<"$models" || die "Bochs has no CPU model '$1'; it has $(xargs <<<"$models")"
}

prepare_bochs() {
	local dir=$1 entry next

	part_bochs
	: "${cpu_model:=tigerlake}"
	check_bochs_model "$cpu_model"
	read -r entry next <"$kernel/boot"
	"$tools/bootimage" page "$entry" "$next" "$(stat -c %s "$dir/initrd")" \
		"$HOST_CMDLINE $BOCHS_CMDLINE$append" "$dir/page" || die "the kernel's command line is too long"
	emulator=(env "BXSHARE=$bochs" "$bochs/bochs" -q -f "$HERE/bochs/bochsrc" -log "$dir/emulator.log"
		"cpu: model=$cpu_model, count=$cpus, ips=$BOCHS_CLOCK, reset_on_triple_fault=0"
		"memory: guest=$mem, host=$((mem < BOCHS_HOST_MIB ? mem : BOCHS_HOST_MIB))"
		"romimage: file=$bochs/$bios"
		"vgaromimage: file=$bochs/vgabios.bin"
		"floppya: 1_44=$tools/boot.img, status=inserted, write_protected=1"
		"optramimage1: file=$kernel/vmlinux.flat, address=0x1000000"
		"optramimage2: file=$dir/initrd, address=$(printf '0x%x' "$next")"
		"optramimage3: file=$dir/page, address=0x80000"
		"com1: enabled=1, mode=file, dev=$dir/console")
	[ "$mode" != shell ] || emulator+=("com2: enabled=1, mode=term, dev=@PTY@")
}

prepare_qemu() {
	local dir=$1 accel=$2

	ensure_packages "${PACKAGES_QEMU[@]}"
	: "${cpu_model:=$([ "$accel" = kvm ] && echo host || echo max)}"
	qemu-system-x86_64 -cpu help | awk '{ print $1 == "x86" ? $2 : $1 }' | grep -qxF -- "$cpu_model" ||
		die "QEMU has no CPU model '$cpu_model'; qemu-system-x86_64 -cpu help lists what it has"
	emulator=(qemu-system-x86_64 -nodefaults -display none -no-reboot
		-machine q35 -accel "$accel" -cpu "$cpu_model" -smp "$cpus" -m "${mem}M"
		-kernel "$kernel/vmlinuz" -initrd "$dir/initrd" -append "$HOST_CMDLINE$append"
		-chardev "file,id=frames,path=/dev/stdout"
		-device "isa-debugcon,iobase=0xe9,chardev=frames"
		-chardev "file,id=console,path=$dir/console" -serial chardev:console)
	[ "$mode" != shell ] || emulator+=(-serial "@PTY@")
}

# Without --log, the last twenty runs' logs are kept.
default_log() {
	mkdir -p "$CACHE/logs"
	find "$CACHE/logs" -name '*.log' -printf '%T@ %p\0' | sort -zrn | tail -zn +20 |
		cut -zd' ' -f2- | xargs -0r rm -f
	log=$CACHE/logs/$(date +%Y%m%d-%H%M%S)-$$.log
}

cmd_run() {
	local mode=$1 engine=auto kernel_name=6.12 cpu_model='' cpus=1 mem=2048 with=none timeout=600 log='' expect=''
	local module_args=() kmods=() added=() command=() append='' bios=$BOCHS_BIOS
	local bochs tools kernel release dir emulator status=0 flags

	shift
	[ "$mode" = run ] || timeout=0
	parse_run "$@"
	check_run
	part_tools
	part_kernel "$kernel_name"
	release=$(cat "$kernel/release")
	scratch dir
	stage_image "$dir"
	case $engine in
	bochs) prepare_bochs "$dir" ;;
	*) prepare_qemu "$dir" "$engine" ;;
	esac
	mkfifo "$dir/console"
	[ -n "$log" ] || default_log
	flags=(-t "$((10#$timeout))" -l "$log")
	[ -z "$expect" ] || flags+=(-e "$expect")
	[ "$mode" = run ] || flags+=(-i)
	unlock_cache
	attended "$tools/supervise" "${flags[@]}" "$dir/console" -- "${emulator[@]}" || status=$?
	if [ "$status" -ge 124 ] && [ "$status" -le 125 ]; then
		[ ! -s "$dir/emulator.log" ] || grep -E '^[0-9]+p' "$dir/emulator.log" >&2 || true
		say "the host's log is $log"
	fi
	return "$status"
}
