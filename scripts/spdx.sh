#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks that the copyright and the licence of every file are known, as specified by https://reuse.software: from
# REUSE.toml, and from a line in each source.
#
#   scripts/spdx.sh [--add]
#
#   --add   write that line into the sources that lack it, first
#
# Debian 12 or newer, as root or as a user with sudo (used to install packages and for nothing else).

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

# In two parts: reuse would take this line for a licence.
LINE=$(printf 'SPDX-%s-Identifier: MIT OR Apache-2.0' License)

add() {
    local file comment place
    git ls-files --cached --others --exclude-standard '*.rs' '*.py' '*.sh' '*.c' '*.h' '*.js' '*.java' '*.go' |
        while read -r file; do
            head -n 3 "$file" | grep -q "${LINE%%:*}" && continue
            case $file in
                *.py | *.sh) comment="# $LINE" ;;
                *.h) comment="/* $LINE */" ;;
                *) comment="// $LINE" ;;
            esac
            place=i
            [ "$(head -c 3 "$file")" != '#!/' ] || place=a
            sed -i "1$place\\$comment" "$file"
        done
}

cd "$ROOT"
case ${1:-} in
    '') ;;
    --add) add ;;
    *) sed -n '2,/^$/{/SPDX/d;s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac
# file: reuse recognises text with its library.
need_packages file git python3 python3-venv
need_python_venv reuse "$ROOT/scripts/requirements-reuse.txt"
quietly "$LOGS/spdx.log" "$VENV/bin/reuse" lint --lines || die 'a new source needs scripts/spdx.sh --add, another file a line in REUSE.toml'
# Code hosts and packages read the ones at the top.
cmp LICENSE-MIT LICENSES/MIT.txt
cmp LICENSE-APACHE LICENSES/Apache-2.0.txt
note 'every file has a copyright and a licence'
