# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# A Linux guest that is typed to, and whose exits are counted. Sourced behind tap.sh; beside it
# lie: dragonfly, vmlinuz, initrd, chrt. What the guest says is in $console.
# shellcheck disable=SC2154

export XDG_RUNTIME_DIR="$dir"
console=$dir/console
keys=$dir/keys
: >"$dir/err"

eventually() {
	tries=1500
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.2
	done
}

says() {
	grep -aq "$1" "$console"
}

# start OPTION...: a guest with a shell that is typed to at descriptor 3. Of the host's
# other tasks, and of the server that the scheduler has for them, none comes before it.
start() {
	mkfifo "$keys"
	./chrt -f 1 ./dragonfly run --name a --kernel vmlinuz --initrd initrd --mem 128 "$@" \
		--append 'console=hvc0 quiet cryptomgr.notests idle=halt guest.run=sh' <"$keys" >>"$console" 2>&1 &
	vm=$!
	exec 3>"$keys"
}

stop() {
	run ./dragonfly stop a --force
	exec 3>&-
	wait "$vm" || true
	rm "$keys"
}

# What is typed comes back too, but not as it is printed.
type_in() {
	: >"$console"
	echo "$1; echo status=\$?." >&3
	eventually says '^status=[0-9]*\.'
	cp "$console" "$dir/out"
}

# count_exits WORKLOAD N: of each reason that there were some of, how many, to $dir/out;
# "exits", all of them, is the first, and all that KVM tells.
count_exits() {
	: >"$console"
	echo "workload $1 $2" >&3
	eventually says "^workload $1 begin"
	./dragonfly stat a >"$dir/before"
	echo >&3
	eventually says "^workload $1 end"
	./dragonfly stat a >"$dir/after"
	awk 'FNR == NR { before[$1] = $2; next }
		/^exit/ && $2 > before[$1] {
			n = $2 - before[$1]
			sub(/^exit_/, "")
			print $1, n
		}' \
		"$dir/before" "$dir/after" >"$dir/out"
}
