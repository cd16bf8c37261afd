#!/usr/bin/env bash
# The cooperative-matrix suite under Mesa 26's lavapipe, the one software adapter that has such matrices (8x8, f16 to f32).
#
#   tests/coop.sh                    sets the driver up, builds tests/coop and runs it
#   tests/coop.sh setup              the driver alone; prints where it is
#   tests/coop.sh run PROGRAM ARGS   any program that was built on this machine, under that driver
#
# The driver lives in a Debian sid root that `debootstrap` makes from this machine's own apt sources. It is kept in $GRADUS_COOP_ROOT, else
# in ${XDG_CACHE_HOME:-~/.cache}/gradus/coop (about 400 MB), and made once; remove that folder for a fresh one. Programs keep their own binary and
# take the root's loader and libraries: nothing is installed on this machine but, where it is missing, debootstrap.
#
# Needs root on Debian or a relative of it, and a mirror that can be reached. Exit status 77: it cannot be set up here, and the last line says
# why; else the program's.
set -u -o pipefail

readonly CANNOT=77
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cache=${GRADUS_COOP_ROOT:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gradus/coop}
root=$cache/sid

cannot() {
    echo "coop: cannot be set up here: $*" >&2
    exit $CANNOT
}

icd() { compgen -G "$root/usr/share/vulkan/icd.d/lvp_icd*.json" | head -n 1; }

# The repositories of this machine's apt, the main one first. `indextargets` reads every form of sources that apt does.
mirrors() {
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "main" && $2 ~ /^(https?|ftp|file):/ { print ($2 ~ /security/), $2 }' | sort -u | cut -d' ' -f2
}

# apt's proxy is debootstrap's too.
proxies() {
    local proxy
    for scheme in http https; do
        proxy=$(apt-config shell P "Acquire::$scheme::Proxy" 2>/dev/null) && eval "$proxy"
        [ -n "${P:-}" ] && [ "$P" != DIRECT ] && export "${scheme}_proxy=$P"
        unset P
    done
}

tool() { # COMMAND PACKAGE..: installs the packages where the command is missing
    local command=$1
    shift
    command -v "$command" >/dev/null && return
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -q --no-install-recommends "$@" >&2 && return
    timeout 300 apt-get update -q >&2 && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -q --no-install-recommends "$@" >&2
}

# Removes what an attempt left behind, and what debootstrap mounted in it.
sweep() {
    local mount
    while read -r mount; do umount -l "$mount"; done < <(awk -v at="$1/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r)
    rm -rf --one-file-system "$1"
}

setup() {
    [ -n "$(icd)" ] && return
    [ "$(uname -s)" = Linux ] || cannot "it is for Linux"
    command -v apt-get >/dev/null || cannot "there is no apt-get: it takes Debian or a relative of it"
    [ "$(id -u)" = 0 ] || cannot "debootstrap needs root; as root: $0 setup"
    mkdir -p "$cache" || cannot "$cache cannot be made"
    exec 9>"$cache/lock"
    flock -w 900 9 || cannot "another run has held $cache for 15 minutes"
    [ -n "$(icd)" ] && return
    local old
    for old in "$cache"/partial.*; do [ -e "$old" ] && sweep "$old"; done # of a run that was killed: we hold the lock
    export PATH=$PATH:/usr/sbin:/sbin
    tool debootstrap debootstrap debian-archive-keyring || cannot "debootstrap is missing and apt-get could not install it"
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$keys" ] || tool /no/such debian-archive-keyring || cannot "the package debian-archive-keyring is missing"
    proxies
    partial=$cache/partial.$$
    trap 'sweep "$partial"' EXIT
    trap 'exit 130' INT TERM HUP
    local mirror tried=()
    while read -r mirror; do
        sweep "$partial"
        # the last lines alone: debootstrap is talkative
        if timeout 900 debootstrap --variant=minbase --include=mesa-vulkan-drivers,libvulkan1 --keyring="$keys" sid "$partial" "$mirror" \
            </dev/null 9>&- >"$cache/log" 2>&1; then
            rm -rf --one-file-system "$partial"/var/cache/apt/archives "$partial"/var/lib/apt/lists "$partial"/usr/share/{doc,man,locale}
            mv "$partial" "$root" && [ -n "$(icd)" ] && return
            cannot "the root has no lavapipe"
        fi
        tried+=("$(sed 's|//[^/@]*@|//|' <<<"$mirror")")
        tail -n 3 "$cache/log" | sed 's|//[^/@ ]*@|//|g' >&2
    done < <(mirrors)
    [ ${#tried[@]} -gt 0 ] || cannot "apt's sources name no mirror over http, https, ftp or file"
    cannot "debootstrap of sid failed from ${tried[*]} (network? a mirror of Debian? $cache/log)"
}

run() { # PROGRAM ARGS..
    local program=$1 json own loader libraries
    shift
    json=$(icd)
    own=$cache/lvp.json
    loader=$(compgen -G "$root/lib64/ld-linux*.so*" || compgen -G "$root/lib/ld-linux*.so*") || { echo "coop: no loader in $root" >&2; return 1; }
    libraries=$(dirname "$(find "$root/usr/lib" -name 'libvulkan.so.1' | head -n 1)")
    # the manifest may name the driver by a path of that root
    sed "s|\"library_path\": *\"\(.*/\)\{0,1\}\([^/\"]*\)\"|\"library_path\": \"$libraries/\2\"|" "$json" >"$own.$$" && mv "$own.$$" "$own"
    VK_DRIVER_FILES=$own LP_NUM_THREADS=${LP_NUM_THREADS:-0} XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp} \
        "$(head -n 1 <<<"$loader")" --library-path "$libraries:$root/lib/$(basename "$libraries")" "$program" "$@"
}

suite() {
    cd "$here" || return 1
    local built
    built=$(cargo test --locked --test coop --no-run --message-format=json-render-diagnostics |
        grep '"executable":"' | grep '"name":"coop"' | sed 's/.*"executable":"\([^"]*\)".*/\1/' | tail -n 1) || return 1
    [ -x "$built" ] || { echo "coop: cargo named no executable" >&2; return 1; }
    GRADUS_REQUIRE_COOP=1 GRADUS_DEVICE=software run "$built" "$@"
}

case "${1:-}" in
setup)
    setup
    echo "$root"
    ;;
run)
    shift
    [ $# -gt 0 ] || { sed -n '4,6p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
    setup
    run "$@"
    ;;
*)
    setup
    suite "$@"
    ;;
esac
