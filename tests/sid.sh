# Sourced by coop.sh and lab.sh: the Mesa of Debian sid, and programs of this machine under one of its drivers.
#
# It lies in a root that `debootstrap` makes from this machine's own apt sources, kept in $GRADUS_SID, else in
# ${XDG_CACHE_HOME:-~/.cache}/gradus/sid (about 420 MB), and made once; remove that folder for a fresh one. Programs keep their own binary and take
# the root's loader and libraries: nothing is installed on this machine but, where it is missing, debootstrap.
#
# Needs root on Debian or a relative of it, and a mirror that can be reached.

readonly CANNOT=77
caller=$(basename "$0" .sh)
cache=${GRADUS_SID:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gradus/sid}
root=$cache/root
packages=mesa-vulkan-drivers,libvulkan1
# what stands in for GPUs, and the headers to build such a library with
[ "$(uname -m)" != x86_64 ] || packages+=,mesa-drm-shim,linux-libc-dev

# Ends the script: it cannot be set up here, for this reason, which is the last line.
cannot() {
    echo "$caller: cannot be set up here: $*" >&2
    exit $CANNOT
}

# What debootstrap made is moved into its place when it is whole.
is_there() { [ -d "$root" ]; }

# The repositories of this machine's apt, the main one first. `indextargets` reads every form of sources that apt does.
mirrors() {
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "main" && $2 ~ /^(https?|ftp|file):/ { print ($2 ~ /security/), $2 }' | sort -u | cut -d' ' -f2
}

# apt's proxy is debootstrap's too.
proxies() {
    local proxy scheme
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

# Makes the root where there is none.
sid() {
    is_there && return
    [ "$(uname -s)" = Linux ] || cannot "it is for Linux"
    command -v apt-get >/dev/null || cannot "there is no apt-get: it takes Debian or a relative of it"
    [ "$(id -u)" = 0 ] || cannot "debootstrap needs root; as root: $0 setup"
    mkdir -p "$cache" || cannot "$cache cannot be made"
    exec 9>"$cache/lock"
    flock -w 900 9 || cannot "another run has held $cache for 15 minutes"
    is_there || debootstrapped
    exec 9>&- # whoever waits may go on
}

# We hold the lock.
debootstrapped() {
    local old mirror tried=() keys=/usr/share/keyrings/debian-archive-keyring.gpg
    for old in "$cache"/partial.*; do [ -e "$old" ] && sweep "$old"; done # of a run that was killed
    export PATH=$PATH:/usr/sbin:/sbin
    tool debootstrap debootstrap debian-archive-keyring || cannot "debootstrap is missing and apt-get could not install it"
    [ -e "$keys" ] || tool /no/such debian-archive-keyring || cannot "the package debian-archive-keyring is missing"
    proxies
    partial=$cache/partial.$$
    trap 'sweep "$partial"' EXIT
    trap 'exit 130' INT TERM HUP
    while read -r mirror; do
        sweep "$partial"
        # the last lines alone: debootstrap is talkative
        if timeout 900 debootstrap --variant=minbase --include="$packages" --keyring="$keys" sid "$partial" "$mirror" \
            </dev/null 9>&- >"$cache/log" 2>&1; then
            rm -rf --one-file-system "$partial"/var/cache/apt/archives "$partial"/var/lib/apt/lists "$partial"/usr/share/{doc,man,locale}
            mv "$partial" "$root" && return
            cannot "$root cannot be made"
        fi
        tried+=("$(sed 's|//[^/@]*@|//|' <<<"$mirror")")
        tail -n 3 "$cache/log" | sed 's|//[^/@ ]*@|//|g' >&2
    done < <(mirrors)
    [ ${#tried[@]} -gt 0 ] || cannot "apt's sources name no mirror over http, https, ftp or file"
    cannot "debootstrap of sid failed from ${tried[*]} (network? a mirror of Debian? $cache/log)"
}

# The root's file of this pattern, or the end.
in_root() {
    compgen -G "$root/$1" | sort | head -n 1 | grep . && return
    echo "$caller: $root has no $1; remove it for a fresh one" >&2
    return 1
}

# under DRIVER LIBRARY PROGRAM ARGS..: becomes the program, under the root's Vulkan driver of that name, with that library preloaded if it is not ''.
under() {
    local json loader libraries own=$cache/$1.json preload=${2:+--preload $2}
    json=$(in_root "usr/share/vulkan/icd.d/$1_icd*.json") && loader=$(in_root 'lib*/ld-linux*.so*') &&
        libraries=$(dirname "$(in_root 'usr/lib/*/libvulkan.so.1')") || return 1
    shift 2
    # the manifest may name the driver by a path of that root
    sed "s|\"library_path\": *\"\(.*/\)\{0,1\}\([^/\"]*\)\"|\"library_path\": \"$libraries/\2\"|" "$json" >"$own.$$" && mv "$own.$$" "$own" || return 1
    export VK_DRIVER_FILES=$own XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
    # shellcheck disable=SC2086
    exec "$loader" --library-path "$libraries" $preload "$@"
}
