#!/usr/bin/env bash
# The benchmark on a bare GPU machine: no network there, perhaps no Rust. x86-64 Linux; the driver must be there (NVIDIA's, say).
#
#   benches/gpu.sh pack    here: builds, strips, and lays all that such a machine may lack into .gl/ (under 60 MiB)
#   benches/gpu.sh run     there, in a copy of this repository with .gl/: at most 10 minutes, a few in practice
#
# `pack` needs Rust, and apt-get for the Vulkan loader's packages (Debian, Ubuntu). `run` unpacks them only where the loader is missing: into /
# as root, else into a temporary folder. The results go to stdout, and to $OUT/gpu.log if OUT is set.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
gl=$PWD/.gl
# The loader, and what NVIDIA's Vulkan driver links.
packages="libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2"
programs=(step gemm dispatch mnist)
# Seconds from the start after which nothing new is begun.
most=570

executable() { # NAME CARGO-ARGS..: builds and prints the path
    local name=$1
    shift
    cargo "$@" --locked --message-format=json-render-diagnostics |
        grep '"executable":"' | grep "\"name\":\"$name\"" | sed 's/.*"executable":"\([^"]*\)".*/\1/' | tail -n 1
}

pack() {
    [ "$(uname -sm)" = "Linux x86_64" ] || { echo "pack on x86-64 Linux: what is built here must run there"; return 1; }
    mkdir -p "$gl"
    git check-ignore -q .gl || echo "/.gl/" >>"$(git rev-parse --git-path info/exclude)"
    rm -f "$gl"/*
    local name built
    for name in "${programs[@]}"; do
        if [ "$name" = mnist ]; then built=$(executable mnist build --release --example mnist); else built=$(executable "$name" bench --bench "$name" --no-run); fi
        [ -x "$built" ] || { echo "cargo named no executable for $name"; return 1; }
        strip -o "$gl/$name" "$built" || return 1
    done
    local lists
    lists=$(mktemp -d)
    mkdir -p "$lists/partial"
    local o="-oAPT::Architecture=amd64 -oAPT::Architectures=amd64 -oDir::State::Lists=$lists"
    apt-get -q $o update && (cd "$gl" && apt-get -q $o download $packages) ||
        echo "no packages: apt-get could not fetch them. The other machine must have its own Vulkan loader."
    rm -rf "$lists"
    (cd "$gl" && sha256sum "${programs[@]}") && du -sh "$gl"
    [ "$(du -sm "$gl" | cut -f1)" -lt 60 ] || { echo "larger than 60 MiB"; return 1; }
    echo "now: copy the repository with .gl/ to the GPU machine and run there: benches/gpu.sh run"
}

has_loader() { [[ "$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)" == *libvulkan.so.1* ]]; }

loader() {
    has_loader && return
    compgen -G "$gl/*.deb" >/dev/null || { echo "no libvulkan.so.1 and no packages in .gl: $0 pack"; return 1; }
    local root=/ deb
    [ "$(id -u)" = 0 ] || root=$(mktemp -d)
    for deb in "$gl"/*.deb; do dpkg -x "$deb" "$root" || return 1; done
    if [ "$root" = / ]; then
        ldconfig
        has_loader
    else
        export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    fi
}

# The driver's manifest, where the loader does not look for it by itself.
manifest() {
    [ -n "${VK_DRIVER_FILES:-}" ] && return
    local own dir
    for dir in /etc/vulkan/icd.d /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d; do
        for own in "$dir"/nvidia*.json; do [ -e "$own" ] && return; done
    done
    for dir in /usr/local/nvidia /opt/nvidia /usr/local/cuda; do
        own=$dir/share/vulkan/icd.d/nvidia_icd.json
        [ -e "$own" ] || continue
        export VK_DRIVER_FILES=$own __EGL_VENDOR_LIBRARY_FILENAMES=$dir/share/glvnd/egl_vendor.d/10_nvidia.json
        return
    done
}

title() { printf '\n--- %s\n' "$*"; }

limited() { # SECONDS COMMAND..: at most so long, and never past the script's own end
    local seconds=$1 left=$((most - SECONDS))
    shift
    [ "$left" -ge 5 ] || { echo "left out, no time: $*"; return 1; }
    timeout "$((seconds < left ? seconds : left))" "$@"
}

run() {
    local name
    for name in "${programs[@]}"; do
        [ -x "$gl/$name" ] || { echo "$name is not packed in .gl: $0 pack"; return 1; }
    done
    local lines errors status=0 python=${PYTHON:-python3} device=${GRADUS_DEVICE:-gpu}
    lines=$(mktemp) errors=$(mktemp)
    XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
    export XDG_RUNTIME_DIR
    unset GRADUS_DEVICE
    title "machine"
    uname -srm
    lscpu 2>/dev/null | grep -E '^(Model name|CPU\(s\))'
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
    loader || return 1
    manifest
    title "mnist --device list"
    limited 60 "$gl/mnist" --device list || status=1
    title "where the time of a step goes: step --profile on $device"
    limited 60 "$gl/step" --device "$device" --only article,wide --profile || status=1
    local peers=0 case
    "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && peers=1
    for round in 1 2; do # taking turns
        title "round $round: step on $device and cpu, PyTorch on cuda"
        limited 60 "$gl/step" --device "$device" --only article,wide,tiny | tee -a "$lines" || status=1
        limited 30 "$gl/step" --device "$device" --only wide --precision mixed | tee -a "$lines" || status=1
        limited 60 "$gl/step" --device cpu --threads 2 --only article,wide | tee -a "$lines" || status=1
        [ $peers = 1 ] || continue
        for case in "--hidden 64,32 --batch 32" "--hidden 1024,1024 --batch 512"; do
            limited 40 "$python" benches/peers/pytorch_step.py --device cuda $case | tee -a "$lines" || status=1
            limited 40 "$python" benches/peers/pytorch_step.py --device cuda $case --fused | tee -a "$lines" || status=1
            limited 40 "$python" benches/peers/pytorch_step.py --device cuda $case --graph | tee -a "$lines" || status=1
            limited 40 "$python" benches/peers/pytorch_step.py --device cuda $case --fused --amp | tee -a "$lines" || status=1
            # needs a C++ compiler and Triton there: its absence is no fault of ours
            limited 90 "$python" benches/peers/pytorch_step.py --device cuda $case --compile --fused 2>"$errors" | tee -a "$lines" ||
                echo "PyTorch compiled: left out, $(tail -n 1 "$errors")"
        done
    done
    [ $peers = 1 ] || echo "no PyTorch with CUDA for $python: no peer"
    title "gemm on $device: f32 and cooperative matrices; PyTorch's float32, TF32 and float16"
    local sizes=512,1024,2048,4096,8192
    limited 150 "$gl/gemm" --device "$device" --coop --sizes "$sizes" --repeats 3 || status=1
    [ $peers = 0 ] || limited 60 "$python" benches/peers/pytorch_gemm.py --device cuda --sizes "$sizes" || status=1
    title "without the driver's bounds checks of buffers (GRADUS_ROBUST=0), against round 2 and the products above"
    GRADUS_ROBUST=0 limited 60 "$gl/step" --device "$device" --only article,wide || status=1
    GRADUS_ROBUST=0 limited 60 "$gl/gemm" --device "$device" --coop --sizes 1024,4096 --repeats 3 || status=1
    title "dispatch on $device"
    limited 30 "$gl/dispatch" --device "$device" || status=1
    title "mnist --device $device, 3 epochs (synthetic digits where there is no data)"
    limited 90 "$gl/mnist" --device "$device" --epochs 3 || status=1
    title "table: medians in ms a step, the first and the second round"
    grep '^{' "$lines" | sed 's/"torch"/"version"/' | awk '
        function get(key,   s) { # the value of a flat key
            if (!match($0, "\"" key "\": ?(\\[[^]]*\\]|\"[^\"]*\"|[^,}]*)")) return ""
            s = substr($0, RSTART, RLENGTH); sub("^\"" key "\": ?", "", s); gsub(/"/, "", s); gsub(/ /, "", s); return s
        }
        { key = get("peer") (get("fused") == "true" ? " fused" : "") (get("compile") == "true" ? " compiled" : "") (get("graph") == "true" ? " graph" : "") (get("amp") == "true" ? " AMP" : "") (get("precision") == "mixed" ? " mixed" : "") "|" get("device") "|" get("layers") "|" get("batch")
          if (!(key in row)) order[++n] = key
          row[key] = row[key] sprintf("%12.4f", get("ms_per_step")); launches[key] = get("launches") }
        END { for (i = 1; i <= n; i++) { split(order[i], f, "|")
              printf "%-22s %-22s %-22s %6s %s   %s\n", f[1], f[2], f[3], f[4], row[order[i]], launches[order[i]] ? launches[order[i]] " launches" : "" } }'
    rm -f "$lines" "$errors"
    return $status
}

case "${1:-}" in
pack) pack ;;
run)
    began=$SECONDS
    if [ -n "${OUT:-}" ]; then run 2>&1 | tee "$OUT/gpu.log"; else run; fi
    status=$?
    echo "$((SECONDS - began)) s, status $status"
    exit $status
    ;;
*)
    sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
    ;;
esac
