#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The manifest of a batch, as the kernel sees it: each line is on the disk before the work goes on (strace), and a disk that is
# really full costs no line (a file system of two pages).

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"

need_packages strace util-linux
open_work_folder factory '' no
cd "$WORK"
export PATH=$TARGET/release:$PATH
CHIPS=3

# station NAME: a folder with a configuration of so many blank chips, each on a bus of its own.
station() {
    local number
    mkdir -p "$1/state"
    printf 'state_dir = "%s/state"\n' "$WORK/$1" >"$1/station.toml"
    for number in $(seq $CHIPS); do
        run "atecc608-sim new --state $1/chip$number >/dev/null"
        printf '[[token]]\nbus = "sim:%s/chip%d"\n' "$WORK/$1" "$number" >>"$1/station.toml"
    done
}

heading 'Each line is synced (fsync) before its thread writes anything else'
station traced
if strace -o /dev/null true 2>strace.log; then
    # A file for each thread. -y: descriptors with their paths.
    run 'mkdir calls && strace -ff -y -s 16 -e trace=write,fsync,fdatasync -o calls/of atecc608 provision tls --batch traced/station.toml --manifest traced/chips.jsonl --lock-forever'
    write_file synced.awk <<'AWK'
function finished() { if (pending != "") { print FILENAME ": not synced: " pending; wrong = 1 } pending = "" }
FNR == 1 { finished() }
match($0, /chips\.jsonl(\.begun)?>/) {
    file = substr($0, RSTART, RLENGTH - 1)
    if (/^write/) { finished(); pending = file; lines[file]++ }
    else if (/ = 0$/ && file == pending) pending = ""
    next
}
/^write/ { finished() }
END {
    finished()
    for (file in lines) print lines[file], file
    exit wrong
}
AWK
    run 'awk -f synced.awk calls/of.* | tee synced.txt'
    run "grep -x '$CHIPS chips.jsonl' synced.txt && grep -x '$CHIPS chips.jsonl.begun' synced.txt"
else
    echo "not tested: fsync after each line of the manifest: $(tail -n 1 strace.log)"
fi

heading 'Full disk: written lines stay, the next run continues'
station full
write_file full.sh <<'END'
set -euo pipefail
# Room for one page of each of the two files.
mount -t tmpfs -o size=8k full disk
batch() { atecc608 provision tls --batch full/station.toml --manifest disk/chips.jsonl --lock-forever; }
status=0
batch >first.txt || status=$?
cat first.txt
test $status = 1
grep 'is provisioned, but not in the manifest.*No space left on device' first.txt
cp disk/chips.jsonl before.jsonl
mount -o remount,size=1m disk
batch
head -c "$(stat -c %s before.jsonl)" disk/chips.jsonl | cmp - before.jsonl
cp disk/chips.jsonl full/chips.jsonl
END
if as_root unshare --mount true 2>unshare.log; then
    run 'mkdir disk && as_root env PATH="$PATH" unshare --mount bash full.sh'
    run "[ \$(wc -l <full/chips.jsonl) = $CHIPS ] && atecc608 manifest list full/chips.jsonl"
    # Some lines were written, and the last one ends.
    run '[ -s before.jsonl ] && [ -z "$(tail -c 1 before.jsonl)" ]'
else
    echo "not tested: a disk that is full: $(tail -n 1 unshare.log)"
fi
