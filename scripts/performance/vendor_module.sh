# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The vendor's PKCS#11 module, built from the source distribution of cryptoauthlib on PyPI, of the version in tests/vendor/requirements.txt.
# All of it stays in target/vendor-module and is never committed.

# Lines are shell text for `run`.
# shellcheck disable=SC2016

# vendor_module: VENDOR_MODULE, built if it is not there yet, and VENDOR_SHIM, to be preloaded. Needs the Python environment of tests/vendor.
#
# PyPI has the C files of the module, but not what its CMake needs: lib/pkcs11/pkcs11_config.h.in and all of lib/*/cmake. So the compiler
# is called here, and tests/vendor/pkcs11 has the two headers with options. app/pkcs11 is not there either, so this build has no
# certificates of chips as sold.
vendor_module() {
    local folder=$TARGET/vendor-module version
    version=$(sed -n 's/^cryptoauthlib==//p' "$ROOT/tests/vendor/requirements.txt")
    VENDOR_MODULE=$folder/$version.so
    VENDOR_SOURCE=$folder/cryptoauthlib-$version
    VENDOR_SHIM=$folder/i2c_shim.so
    export VENDOR_MODULE VENDOR_SOURCE VENDOR_SHIM
    heading "The vendor's PKCS#11 module"
    if [ -e "$VENDOR_MODULE" ] && [ "$VENDOR_MODULE" -nt "$ROOT/tests/vendor/pkcs11/pkcs11_config.h" ]; then
        note "built before: $VENDOR_MODULE"
        return
    fi
    rm -rf "$folder"
    run "$VENV/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary cryptoauthlib --dest $folder cryptoauthlib==$version"
    run "tar -C $folder -xzf $folder/cryptoauthlib-$version.tar.gz"
    # The module is also linked with the shim: OpenSSL's provider loads modules with RTLD_DEEPBIND, which goes past LD_PRELOAD.
    run 'cc -std=gnu11 -O2 -shared -fPIC -o "$VENDOR_SHIM" "$ROOT/tests/vendor/i2c_shim.c" -ldl'
    # ATCA_LIBRARY_CONF: the file in the current folder that names the folder with the slots.
    run '(cd "$VENDOR_SOURCE/lib" && cc -std=gnu99 -O2 -w -shared -fPIC -s -Wl,--no-undefined \
        -DATCA_BUILD_SHARED_LIBS -DATCA_USE_SHARED_MUTEX -DATCA_LIBRARY_CONF="\"vendor.conf\"" \
        -I "$ROOT/tests/vendor/pkcs11" -I pkcs11 -I . -I ../third_party -o "$VENDOR_MODULE" \
        *.c pkcs11/*.c calib/*.c crypto/*.c crypto/*/*.c host/*.c atcacert/*.c jwt/*.c \
        hal/atca_hal.c hal/hal_linux.c hal/hal_linux_i2c_userspace.c \
        "$VENDOR_SHIM" -Wl,-rpath,"$(dirname "$VENDOR_SHIM")" -lrt)'
}

# vendor_token: the files that the module's user must provide: one slot, the chip at 0x60 on /dev/i2c-20, a key pair in
# slot 0. Numbers of buses are hexadecimal there, and addresses shifted.
vendor_token() {
    mkdir vendor-store
    echo 'filestore = vendor-store' >vendor.conf
    write_file vendor-store/0.conf <<END
label = gateway
interface = i2c,0xC0,14
device = ATECC608B
object = private,dev-key,0
END
}
