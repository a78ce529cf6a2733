# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# The trees of the packages: each file at the place where it is installed. `cargo deb` packs a tree as it
# is (Cargo.toml, package.metadata.deb); recipes for other systems can do the same.

# put MODE FILE... FOLDER
put() {
    local mode=$1 folder=${*: -1}
    shift
    install -D -m "$mode" -t "$folder" "${@:1:$#-1}"
}

# put_compressed FILE PATH: as PATH.gz, with no time or name in it, so that the same source gives the same package.
put_compressed() {
    mkdir -p "$(dirname "$2")"
    gzip -9n <"$1" >"$2.gz"
    chmod 644 "$2.gz"
}

# stage_program TREE MANUAL NAME: the manual pages and completions of a program. MANUAL is what the example "manual" of atecc608-cli wrote.
stage_program() {
    local tree=$1 manual=$2 name=$3 page
    put 644 "$manual/bash/$name" "$tree/usr/share/bash-completion/completions"
    put 644 "$manual/zsh/_$name" "$tree/usr/share/zsh/vendor-completions"
    put 644 "$manual/fish/$name.fish" "$tree/usr/share/fish/vendor_completions.d"
    for page in "$manual/man1/$name".1 "$manual/man1/$name"-*.1; do
        # atecc608-sim is a separate program, and its pages are not atecc608's.
        case $name:$(basename "$page") in
            atecc608:atecc608-sim.1 | atecc608:atecc608-sim-*) continue ;;
        esac
        put_compressed "$page" "$tree/usr/share/man/man1/$(basename "$page")"
    done
}

# stage_documents TREE PACKAGE: the files that Debian requires in each package's folder of documents; cargo-deb adds the
# file copyright. MAINTAINER and DATE are set.
stage_documents() {
    local folder=$1/usr/share/doc/$2
    mkdir -p "$folder"
    sed -e "s/@MAINTAINER@/$MAINTAINER/" -e "s/@DATE@/$DATE/" conf/debian/changelog >"$folder/changelog.Debian"
    put_compressed "$folder/changelog.Debian" "$folder/changelog.Debian"
    rm "$folder/changelog.Debian"
    put_compressed CHANGELOG.md "$folder/changelog"
    if [ -e "conf/debian/$2.lintian-overrides" ]; then
        install -D -m 644 "conf/debian/$2.lintian-overrides" "$1/usr/share/lintian/overrides/$2"
    fi
}

# stage_gateway TREE TRIPLET BUILT MANUAL: the module and the tool for gateways, built in BUILT.
stage_gateway() {
    local tree=$1 triplet=$2 built=$3 manual=$4 page unit
    put 644 "$built/libatecc608_pkcs11.so" "$tree/usr/lib/$triplet/pkcs11"
    put 755 "$built/atecc608" "$tree/usr/bin"
    put 644 include/atecc608_pkcs11.h "$tree/usr/include"
    put 644 conf/atecc608.module "$tree/usr/share/p11-kit/modules"
    put 644 conf/60-atecc608.rules "$tree/usr/lib/udev/rules.d"
    put 644 conf/config.toml "$tree/etc/atecc608-pkcs11"
    sed "s|^pkcs11-module-path = .*|pkcs11-module-path = /usr/lib/$triplet/pkcs11/libatecc608_pkcs11.so|" \
        conf/openssl-pkcs11.cnf >"$tree/etc/atecc608-pkcs11/openssl-pkcs11.cnf"
    # For users to read: the tool has them built in.
    put 644 conf/profiles/*.toml "$tree/usr/share/atecc608-pkcs11/profiles"
    for unit in conf/systemd/*.{service,socket,path,timer,target}; do
        [ ! -e "$unit" ] || put 644 "$unit" "$tree/usr/lib/systemd/system"
    done
    stage_program "$tree" "$manual" atecc608
    for page in docs/man/*.[58]; do
        put_compressed "$page" "$tree/usr/share/man/man${page##*.}/$(basename "$page")"
    done
    stage_documents "$tree" atecc608-pkcs11
    put 644 conf/examples/* "$tree/usr/share/doc/atecc608-pkcs11/examples"
    put 644 README.md docs/*.md docs/performance.json "$tree/usr/share/doc/atecc608-pkcs11"
    put 644 docs/pictures/*.svg "$tree/usr/share/doc/atecc608-pkcs11/pictures"
}

# stage_sim TREE TRIPLET BUILT MANUAL: the simulated chip, and builds of the module and the tool that support it.
stage_sim() {
    local tree=$1 triplet=$2 built=$3 manual=$4
    put 644 "$built/libatecc608_pkcs11.so" "$tree/usr/lib/$triplet/pkcs11"
    put 755 "$built/atecc608" "$built/atecc608-sim" "$tree/usr/bin"
    stage_program "$tree" "$manual" atecc608-sim
    stage_documents "$tree" atecc608-sim
    put 644 conf/config-sim.toml "$tree/usr/share/doc/atecc608-sim/examples"
}
