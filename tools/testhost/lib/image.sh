# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The initrd of a run: what all runs share, and on top of it the command, the
# modules and the files of this one.

merged_usr() {
	local d

	for d in bin sbin lib lib64; do
		mkdir -p "$1/usr/$d"
		ln -sfn "usr/$d" "$1/$d"
	done
	mkdir -p "$1"/{dev,proc,sys,run,tmp,root,etc,var,testhost}
}

pack_initrd() {
	(cd "$1" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet)
}

# The shared libraries that a program names, and those they name; also its
# loader. A static program or a script has none.
libraries_of() {
	local list

	list=$(ldd "$1" 2>/dev/null) || return 0
	if grep -q 'not found' <<<"$list"; then
		die "$1 needs a library that this machine does not have: $(grep -m1 'not found' <<<"$list" | xargs)"
	fi
	sed -n 's/^[[:space:]]*\(.* => \)\?\(\/[^ ]*\) (0x.*/\2/p' <<<"$list"
}

is_elf() {
	[ "$(head -c 4 "$1" | od -An -tx1 | tr -d ' \n')" = 7f454c46 ]
}

# add_libraries ROOT SRC DEST: a folder may bring some of its programs' libraries.
add_libraries() {
	local root=$1 src=${2%/} own=${2%/}/lib/x86_64-linux-gnu file lib libs

	while IFS= read -r -d '' file; do
		is_elf "$file" || continue
		libs=$(LD_LIBRARY_PATH=$own${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} libraries_of "$file") || exit 1
		for lib in $libs; do
			[[ $lib != "$own"/* ]] || lib=$3${lib#"$src"}
			[ ! -e "$root$lib" ] || continue
			mkdir -p "$root$(dirname "$lib")"
			cp -L "$lib" "$root$lib"
		done
	done < <(find "$2" -type f \( -perm /111 -o -name '*.so*' \) -size +3c -print0)
}

# add_file ROOT SRC[:DEST]
add_file() {
	local root=$1 src=$2 dest=

	if [ ! -e "$src" ] && [[ $src == *:* ]]; then
		dest=${src##*:}
		src=${src%:*}
	fi
	[ -e "$src" ] || die "cannot add $src: there is no such file"
	[ -r "$src" ] || die "cannot add $src: it is not readable"
	case $dest in
	'') dest=/root/$(basename "$src") ;;
	*/) dest+=$(basename "$src") ;;
	esac
	[[ $dest == /* ]] || dest=/root/$dest
	dest=$(realpath -ms "$dest")
	mkdir -p "$root$(dirname "$dest")"
	if [ -d "$src" ]; then
		mkdir -p "$root$dest"
		cp -a "$src/." "$root$dest/"
	else
		cp -L --preserve=mode "$src" "$root$dest"
	fi || die "cannot add $src"
	# Looked up where the program comes from: its paths may be relative to it.
	add_libraries "$root" "$src" "$dest"
}

# The module and those that it needs, in the order of loading.
module_files() {
	local base=$kernel/root/lib/modules/$release name=${1//-/_} line

	line=$(awk -F: -v name="$name" '{
		file = $1; sub(/.*\//, "", file); sub(/\.ko.*/, "", file); gsub(/-/, "_", file)
		if (file == name) { sub(/:/, "", $0); print; exit }
	}' "$base/modules.dep")
	[ -n "$line" ] || die "kernel $release has no module $1"
	# shellcheck disable=SC2086 # paths without spaces
	printf '%s\n' $line | tac
}

# copy_module FILE DEST: as the kernel can load it, without xz in user space.
copy_module() {
	local file=$kernel/root/lib/modules/$release/$1

	case $file in
	*.xz) xz -dc "$file" >"$2" ;;
	*) cp "$file" "$2" ;;
	esac
}

# load_module ROOT NAME: put it and its dependencies on the agent's list.
load_module() {
	local root=$1 file files plain

	files=$(module_files "$2") || exit 1
	for file in $files; do
		plain=/lib/modules/$release/${file%.xz}
		if [ ! -e "$root$plain" ]; then
			mkdir -p "$root$(dirname "$plain")"
			copy_module "$file" "$root$plain"
		fi
		list_module "$root" "$plain"
	done
}

# A parameter belongs to the module that it names, or to the hypervisor's.
list_module() {
	local name=${2##*/} line=$2 arg

	name=${name%.ko}
	name=${name//-/_}
	! cut -d' ' -f1 "$1/testhost/modules" | grep -qxF -- "$2" || return 0
	for arg in "${module_args[@]}"; do
		if [[ ${arg%%=*} == *.* ]]; then
			[ "${arg%%.*}" != "$name" ] || line+=" ${arg#*.}"
		elif [ "$name" = "$main_module" ]; then
			line+=" $arg"
		fi
	done
	echo "$line" >>"$1/testhost/modules"
}

build_dragonfly() {
	local log=$1/build.log

	mkdir -p "$ROOT/build"
	flock "$ROOT/build/lock" make -s -C "$ROOT" KDIR="$(readlink -f "$kernel/kdir")" module >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "dragonfly.ko does not build for kernel $release"
	}
}

# stage_image DIR: DIR/initrd from the options of cmd_run.
stage_image() {
	local root=$1/root file main_module=

	mkdir "$root"
	merged_usr "$root"
	: >"$root/testhost/argv"
	: >"$root/testhost/modules"
	[ ${#command[@]} -eq 0 ] || printf '%s\0' "${command[@]}" >"$root/testhost/argv"

	[ "$mode" != shell ] || : >"$root/testhost/terminal"

	for file in "${kmods[@]}"; do
		load_module "$root" "$file"
	done
	case $with in
	kvm)
		main_module=kvm_intel
		load_module "$root" kvm_intel
		;;
	dragonfly)
		main_module=dragonfly
		build_dragonfly "$1"
		file=/lib/modules/$release/extra/dragonfly.ko
		mkdir -p "$root$(dirname "$file")"
		flock "$ROOT/build/lock" cp "$ROOT/build/$release/dragonfly.ko" "$root$file"
		list_module "$root" "$file"
		;;
	esac
	[ ! -d "$root/lib/modules/$release" ] ||
		/sbin/depmod -b "$root" "$release" 2>/dev/null || die "cannot index the host's modules"
	for file in "${added[@]}"; do
		add_file "$root" "$file"
	done
	{ cat "$tools/base.cpio" && pack_initrd "$root"; } >"$1/initrd" ||
		die "no space: cannot write the host's initrd in $1"
	rm -rf "$root"
}
