#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the documentation site from docs/, README.md and the other pages at the top, and prints its folder.
#
#   scripts/docs-site.sh
#
# The result is target/site: static files, which load nothing from another host. To read it:
# python3 -m http.server --directory target/site
#
# Zensical from PyPI (the successor of MkDocs' theme Material; it reads MkDocs' configuration): it installs in seconds, and checks
# links and anchors. mdBook would take minutes to compile.
# Debian 12 or newer, as root or as a user with sudo (used to install packages and for nothing else).

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

SITE=$TARGET/site
BUILD=$TARGET/site-build

# collect FILE PAGE: a page as the site has it. On a code host README.md is beside docs/; here all pages are in one folder. The
# comments for tests/docs/page.py are left out, and its `not-run`, which it does not know.
collect() {
    sed -e '/^<!-- test-.*-->$/d' -e '/^<!-- test-setup$/,/^-->$/d' \
        -e 's/^\( *```[a-z]*\) not-run=.*/\1/' \
        -e 's#](docs/#](#g' -e 's#\[\(docs/\)\{0,1\}\([a-z0-9-]*\)\.md\](#[\2](#g' \
        -e 's#](\(\.\./\)\{0,1\}README\.md#](index.md#g' \
        -e 's#](\(\.\./\)\{0,1\}CONTRIBUTING\.md#](contributing.md#g' \
        -e 's#](\(\.\./\)\{0,1\}CHANGELOG\.md#](changes.md#g' \
        -e 's#](\(\.\./\)\{0,1\}SECURITY\.md#](report-a-vulnerability.md#g' \
        "$1" >"$BUILD/pages/$2"
}

need_packages python3 python3-venv
need_python_venv docs-site "$ROOT/scripts/requirements-docs.txt"

cd "$ROOT"
rm -rf "$SITE" "$BUILD"
mkdir -p "$BUILD/pages"
for page in docs/*.md; do
    collect "$page" "${page#docs/}"
done
collect README.md index.md
collect CONTRIBUTING.md contributing.md
collect CHANGELOG.md changes.md
# Not security.md in capitals: that is another page, and some file systems take both for one.
collect SECURITY.md report-a-vulnerability.md
cp -r docs/pictures "$BUILD/pages/pictures"
cp scripts/docs-site/site.css "$BUILD/pages"
cp scripts/docs-site/mkdocs.yml "$BUILD"

if ! output=$("$VENV/bin/zensical" build --strict --config-file "$BUILD/mkdocs.yml" 2>&1); then
    sed '/^Traceback/,$d' <<<"$output" >&2
    die 'the pages have broken links, or scripts/docs-site/mkdocs.yml is wrong'
fi
mv "$BUILD/site" "$SITE"
"$VENV/bin/python" scripts/docs-site/check.py "$SITE" docs
printf '%s\n' "$SITE"
