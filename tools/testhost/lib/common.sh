# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Messages, errors, the cache's lock and its rule: a part appears in the cache
# whole, by one rename, or not at all.

say() {
	printf 'testhost: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

bad_usage() {
	say "$*; see 'testhost help'"
	exit 2
}

# Directories to remove and a process to end, however this script ends.
CLEAN_DIRS=()
CHILD=
TICKER=

clean_up() {
	stop_ticker
	if [ -n "$CHILD" ]; then
		kill -- "$CHILD" 2>/dev/null || true
		wait "${CHILD#-}" 2>/dev/null || true
	fi
	[ ${#CLEAN_DIRS[@]} -eq 0 ] || rm -rf -- "${CLEAN_DIRS[@]}"
}

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# A scratch directory that goes with us.
scratch() {
	local -n dir_=$1

	dir_=$(mktemp -d "${TMPDIR:-/tmp}/testhost.XXXXXX") || die "no room for temporary files in ${TMPDIR:-/tmp}"
	CLEAN_DIRS+=("$dir_")
}

# Waits for a command in a way that leaves the traps above alive, and ends it
# with us.
attended() {
	local status=0

	"$@" <&0 &
	CHILD=$!
	wait "$CHILD" || status=$?
	CHILD=
	return "$status"
}

# A line every half minute, for as long as a build says nothing itself. It waits
# on a pipe that stays empty, so that it has no process of its own to leave behind.
start_ticker() {
	(
		trap - EXIT INT TERM HUP
		exec {silence}<> <(:)
		while ! read -rt 30 -u "$silence" _; do
			say "still at it: $(wc -l <"$1") lines of log, $SECONDS seconds since the start"
		done
	) {LOCKED}>&- &
	TICKER=$!
}

stop_ticker() {
	[ -n "$TICKER" ] || return 0
	kill "$TICKER" 2>/dev/null || true
	wait "$TICKER" 2>/dev/null || true
	TICKER=
}

# attended_log LOG CMD...: the same in a session of its own, so that what a
# build has started ends with it; output to LOG.
attended_log() {
	local log=$1 status=0

	shift
	setsid "$@" >>"$log" 2>&1 </dev/null {LOCKED}>&- &
	CHILD=-$!
	start_ticker "$log"
	wait "${CHILD#-}" || status=$?
	CHILD=
	stop_ticker
	return "$status"
}

# One set-up at a time; the lock goes with the process that holds it.
LOCKED=
lock_cache() {
	[ -z "$LOCKED" ] || return 0
	mkdir -p "$CACHE/work" 2>/dev/null || die "cannot write to the cache $CACHE"
	exec {LOCKED}>"$CACHE/lock" || die "cannot write to the cache $CACHE"
	if ! flock -n "$LOCKED"; then
		say "another set-up is at work; waiting for it"
		flock "$LOCKED"
	fi
}

unlock_cache() {
	[ -z "$LOCKED" ] || exec {LOCKED}>&-
	LOCKED=
}

# need_space MIB: before anything is begun that would not fit.
need_space() {
	local have

	have=$(df -Pm "$CACHE" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$1" ] || die "no space: $CACHE has $have MiB free and this needs $1 MiB"
}

# A build's log is worth keeping only if it failed.
build_failed() {
	say "$1 failed; the end of its log ($2):"
	tail -n 15 "$2" >&2
	exit 1
}

digest() {
	cat "$@" | sha256sum | cut -c1-12
}

# is_between VALUE MIN MAX: a decimal number within limits.
is_between() {
	[[ $1 =~ ^[0-9]{1,9}$ ]] && [ "$((10#$1))" -ge "$2" ] && [ "$((10#$1))" -le "$3" ]
}
