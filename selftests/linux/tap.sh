# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
#
# TAP for the shell scripts here, which run inside the test host. Sourced with
# the name of the suite in $suite.
# shellcheck disable=SC2154

count=0
failed=0
status=0
dir=$(mktemp -d)

# run COMMAND...: its output goes to $dir/out and $dir/err, its exit status to $status.
run() {
	status=0
	"$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
}

# verdict NAME COMMAND...: does the command find the last run as it should be?
verdict() {
	name=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count $suite.$name"
		return
	fi
	failed=1
	echo "# expected: $*"
	echo "# exit status $status; the ends of standard output and error:"
	tail -n 30 "$dir/out" "$dir/err" | sed 's/^/# /'
	echo "not ok $count $suite.$name"
}

skip() {
	count=$((count + 1))
	echo "ok $count $suite.$1 # SKIP $2"
}

finish() {
	rm -rf "$dir"
	echo "1..$count"
	exit "$failed"
}
