# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# Rust and Python: an existing toolchain is used, a missing one comes from Debian and PyPI.

# The oldest Rust that builds this, as Cargo.toml says.
rust_version() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# at_least 1.95.0 1.85: is the first version not older than the second?
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

cargo_is_new_enough() {
    local version
    version=$(cargo --version 2>/dev/null | awk '{ print $2 }')
    [ -n "$version" ] && at_least "$version" "$(rust_version)"
}

# Find cargo: on PATH, where rustup puts it, else from Debian. Debian 12's `cargo` is too old; `cargo-web` is kept
# current there. From Debian 13 on `cargo` is new enough.
need_cargo() {
    local rustup_bin
    # HOME may be unset in a CI run; ~ is then read from the user database.
    rustup_bin=${HOME:-$(unset HOME && echo ~)}/.cargo/bin
    if ! cargo_is_new_enough && [ -x "$rustup_bin/cargo" ]; then
        export PATH=$rustup_bin:$PATH
    fi
    if ! cargo_is_new_enough; then
        apt_update
        if at_least "$(candidate cargo)" "$(rust_version)"; then
            need_packages cargo
        else
            need_packages rustc-web cargo-web
        fi
    fi
    cargo_is_new_enough || die "no cargo $(rust_version) or newer is available; cargo --version prints: $(cargo --version 2>&1)"
    # rustc calls cc to link.
    need_packages gcc libc6-dev
    note "$(cargo --version)"
}

# cargo fmt and cargo clippy, for the tests. A missing one is a failure, never a skipped test.
need_rust_linters() {
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        if command -v rustup >/dev/null; then
            quietly "$INSTALL_LOG" rustup component add rustfmt clippy || true
        elif installed cargo-web; then
            need_packages rustfmt-web rust-web-clippy
        else
            need_packages rustfmt rust-clippy
        fi
    fi
    note "$(cargo fmt --version), $(cargo clippy --version)"
}

# need_python_venv NAME REQUIREMENTS [PYTHON]: PyPI's packages of that file in a Python environment of their own, VENV/bin/python.
need_python_venv() {
    VENV=$TARGET/venv-$1
    mkdir -p "$TARGET"
    # Two tests that run at once may need the same.
    (
        flock 9
        cmp -s "$2" "$VENV/requirements.txt" && exit
        note "installing $(grep -o '^[^ #]*==[^ ;]*' "$2" | tr '\n' ' ')from PyPI into $VENV"
        # Debian's python by its full name, to which python3-venv belongs; PATH may have another.
        quietly "$INSTALL_LOG" "${3:-/usr/bin/python3}" -m venv --clear "$VENV"
        quietly "$INSTALL_LOG" "$VENV/bin/pip" install --disable-pip-version-check -r "$2" ||
            die "could not install the Python packages"
        # Last: an installation that was interrupted is done again.
        cp "$2" "$VENV/requirements.txt"
    ) 9>"$VENV.lock"
}
