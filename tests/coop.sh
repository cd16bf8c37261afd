#!/usr/bin/env bash
# The cooperative-matrix suite under Mesa 26's lavapipe, the one software adapter that has such matrices (8x8, f16 to f32).
#
#   tests/coop.sh                    sets the driver up, builds tests/coop and runs it
#   tests/coop.sh setup              the driver alone; prints where it is
#   tests/coop.sh run PROGRAM ARGS   any program that was built on this machine, under that driver
#
# tests/sid.sh says where the driver comes from and what that needs. GRADUS_TEST_FEATURES: features to build with, beside the default ones. Exit
# status 77: the driver cannot be set up here, and the last line says why; else the program's.
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
source "$here/tests/sid.sh"

# PROGRAM ARGS..
run() {
    export LP_NUM_THREADS=${LP_NUM_THREADS:-0}
    under lvp '' "$@"
}

suite() {
    cd "$here" || return 1
    local built
    built=$(cargo test --locked ${GRADUS_TEST_FEATURES:+--features "$GRADUS_TEST_FEATURES"} --test coop --no-run --message-format=json-render-diagnostics |
        grep '"executable":"' | grep '"name":"coop"' | sed 's/.*"executable":"\([^"]*\)".*/\1/' | tail -n 1) || return 1
    [ -x "$built" ] || { echo "coop: cargo named no executable" >&2; return 1; }
    export GRADUS_REQUIRE_COOP=1 GRADUS_DEVICE=software
    run "$built" "$@"
}

case "${1:-}" in
setup)
    sid
    echo "$root"
    ;;
run)
    shift
    [ $# -gt 0 ] || { sed -n '4,6p' "$0" | sed 's/^# \{0,1\}//'; exit 2; }
    sid
    run "$@"
    ;;
*)
    sid
    suite "$@"
    ;;
esac
