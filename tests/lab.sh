#!/usr/bin/env bash
# The compilers of GPUs that are not here: the kernels of some training steps as the drivers of seven chips compile them, held against the table of
# docs/gpu-lab.md, which says what that proves.
#
#   tests/lab.sh [CHIP..]              fails for what a driver refuses, falls over, spills, or makes longer by a tenth than the table says
#   tests/lab.sh --write               the same, and writes the table anew
#   tests/lab.sh kernel CHIP FILE..    what a chip's compiler makes of WGSL files: for who edits one
#   tests/lab.sh setup                 the drivers alone; prints where they are
#   tests/lab.sh run CHIP PROGRAM ARGS any program that was built on this machine, as if that GPU were here
#
# Sources and listings stay in target/lab. tests/sid.sh says where the drivers come from and what that needs. With GRADUS_LAB=PROGRAM nothing is built: it
# names what `cargo build --release -p gradus-lab` makes. Exit status 77: the drivers cannot be set up here, and the last line says why.
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
source "$here/tests/sid.sh"
target=${CARGO_TARGET_DIR:-$here/target}
program=${GRADUS_LAB:-$target/release/gradus-lab}
intel=$cache/libgradus_intel.so

# Name, Mesa's driver, the library that stands in for the kernel's, and the chip that it is to play.
chips() {
    cat <<'END'
rdna4 radeon  amdgpu_noop_drm_shim  AMDGPU_GPU_ID=gfx1201
rdna3 radeon  amdgpu_noop_drm_shim  AMDGPU_GPU_ID=navi31
rdna2 radeon  amdgpu_noop_drm_shim  AMDGPU_GPU_ID=navi21
ada   nouveau nouveau_noop_drm_shim NOUVEAU_CHIPSET=192
xe2   intel   gradus_intel          GRADUS_INTEL=e20b
dg2   intel   gradus_intel          GRADUS_INTEL=56a0
m1    asahi   asahi_noop_drm_shim   -
END
}

names() { chips | cut -d' ' -f1; }

setup() {
    [ "$(uname -sm)" = "Linux x86_64" ] || cannot "it is for Linux on x86-64"
    sid
    local source=$here/tests/lab/intel_shim.c
    [ "$intel" -nt "$source" ] && return
    tool cc gcc libc6-dev || cannot "a C compiler is missing and apt-get could not install it"
    # this machine's own headers come first: the library is to run on any C library from this one on
    cc -shared -fPIC -O2 -Wall -Wextra -idirafter "$root/usr/include" "$source" -o "$intel.$$" && mv "$intel.$$" "$intel" ||
        cannot "$source does not compile"
}

# CHIP PROGRAM ARGS..
run() {
    local name driver library chip
    read -r name driver library chip < <(chips | grep "^$1 ") ||
        { echo "lab: there is no chip $1, but $(names | paste -sd' ')" >&2; return 2; }
    shift
    [ "$chip" = - ] || export "${chip?}"
    # to be compiled is what was compiled before, and what is learnt here is for nobody else
    export MESA_SHADER_CACHE_DISABLE=1 GRADUS_PIPELINE_CACHE=off
    [ "$library" = gradus_intel ] && library=$intel || library=$(in_root "usr/lib/*/lib$library.so") || return 1
    under "$driver" "$library" "$@"
}

build() { # unless it is named
    [ -z "${GRADUS_LAB:-}" ] || return 0
    (cd "$here" && cargo build --locked --quiet --release -p gradus-lab)
}

usage() {
    sed -n '5,9p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
}

case "${1:-}" in
setup)
    setup
    echo "$root"
    ;;
run)
    shift
    [ $# -gt 1 ] || usage
    setup
    run "$@"
    ;;
kernel)
    shift
    [ $# -gt 1 ] || usage
    setup
    build && exec "$program" kernel "$0" "$@"
    ;;
-h | --help) usage ;;
*)
    setup
    write=
    [ "${1:-}" != --write ] || { write=--write; shift; }
    [ -z "$write" ] || [ $# = 0 ] || usage
    [ $# -gt 0 ] || mapfile -t all < <(names)
    # shellcheck disable=SC2086
    build && exec "$program" check "$0" "$here/docs/gpu-lab.md" "$target/lab" $write "${@:-${all[@]}}"
    ;;
esac
