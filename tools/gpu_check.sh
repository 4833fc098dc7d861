#!/usr/bin/env bash
# tools/gpu_check.sh OUTDIR: everything that needs a GPU, in one command of less than 10 minutes: builds the plugin for
# this GPU, holds it against the CPU on fresh inputs, runs the suite's GPU tests, compute-sanitizer, and the benchmark
# against PyTorch's cuDNN. Logs, results.json and GPU_RESULTS.md go to OUTDIR. Needs nvcc, a C compiler, and python3
# (PYTHON) with numpy, Cython and setuptools; pytest and h5py for the suite, torch for the comparison.
# Exit code 0: all of it was done and passed; 1: something failed or could not be done; 3: there is no GPU.
#
# tools/gpu_check.sh --emulated OUTDIR: the same steps over the emulation, without a GPU: is this script sound? No speeds.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
EMULATED=0
[ "${1:-}" = --emulated ] && { EMULATED=1; shift; }
[ $# = 1 ] || { echo "usage: tools/gpu_check.sh [--emulated] OUTDIR" >&2; exit 2; }
mkdir -p "$1" && OUT=$(cd "$1" && pwd) || exit 1
PYTHON=${PYTHON:-python3}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
FAILED=()
BEGIN=$SECONDS
MOST=${RNNRT_GPU_CHECK_SECONDS:-590} # of all steps together

say() { printf '%s\n' "$*" | tee -a "$OUT/summary.txt"; }

left() { echo $((MOST - (SECONDS - BEGIN))); }

step() { # step NAME LIMIT COMMAND...: run it with a time limit, its output in OUT/NAME.log
    local name=$1 limit=$2 from=$SECONDS rc
    shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    [ "$limit" -ge 5 ] || { missing "$name" "no time was left of $MOST s"; return 1; }
    timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>&1
    rc=$?
    if [ $rc = 0 ]; then
        say "passed  $name ($((SECONDS - from)) s): $(tail -n 1 "$OUT/$name.log")"
    else
        FAILED+=("$name")
        say "FAILED  $name ($((SECONDS - from)) s, exit code $rc$([ $rc = 124 ] && echo ": beyond $limit s")): $(tail -n 3 "$OUT/$name.log" | tr '\n' ' ')"
    fi
    return $rc
}

missing() { # missing NAME WHY: a step that cannot be done here counts as one that failed
    FAILED+=("$1")
    say "NOT DONE  $1: $2"
}

has() { "$PYTHON" -c "import $1" >/dev/null 2>&1; }

: >"$OUT/summary.txt"
say "rnnrt on $(uname -n), $(date -u +%Y-%m-%dT%H:%M:%SZ)"

# -- what is here
if [ $EMULATED = 0 ]; then
    if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >"$OUT/gpu.txt" 2>&1; then
        say "no GPU: $(command -v nvidia-smi >/dev/null && head -n 1 "$OUT/gpu.txt" || echo "nvidia-smi is not there, so there is no NVIDIA driver")"
        exit 3
    fi
    RNNRT_DRIVER=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
    export RNNRT_DRIVER
    say "$(head -n 1 "$OUT/gpu.txt"), driver $RNNRT_DRIVER"
fi
for module in numpy Cython setuptools; do
    has $module || { say "stopped: $PYTHON has no $module (pip install $module, or PYTHON=...)"; exit 1; }
done

# -- build
export RNNRT_CUDA_ARCH=${RNNRT_CUDA_ARCH:-native}
export RNNRT_CUDA_PLUGIN=$OUT/build/librnnrt_cuda.so
KIND=() SMALL=()
[ $EMULATED = 1 ] && { KIND=(--emulated); SMALL=(--small); }
step build_host 240 "$PYTHON" setup.py -q build_ext --inplace || exit 1
step build_plugin 240 "$PYTHON" src_c/cuda/build.py "$RNNRT_CUDA_PLUGIN" "${KIND[@]}" || exit 1
step devices 30 "$PYTHON" -c "import rnnrt; found = rnnrt.devices(); print(found); raise SystemExit(\"cuda:0\" not in found)" || { [ $EMULATED = 1 ] && exit 1 || exit 3; }

# -- does it agree
step agree 150 "$PYTHON" tools/cuda/agree.py "${SMALL[@]}"
if has pytest && has h5py; then
    # a parameter's id stands in the brackets of a test's name; files and folders are named cuda, too
    WHICH=$([ $EMULATED = 1 ] && echo "cuda-emulated" || echo "([cuda- or [cuda] or -cuda]) and not emulated")
    step suite 150 "$PYTHON" -m pytest -q -p no:cacheprovider tests/plugins tests/parity -k "$WHICH"
else
    missing suite "$PYTHON has no pytest or no h5py"
fi

# -- compute-sanitizer
if [ $EMULATED = 1 ]; then
    say "left out  compute-sanitizer: there is no GPU"
elif SANITIZER=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null); then
    for tool in memcheck racecheck synccheck; do
        step "$tool" 60 "$SANITIZER" --tool $tool --error-exitcode 9 "$PYTHON" tools/cuda/agree.py --small --only lstm
        step "${tool}_gru" 45 "$SANITIZER" --tool $tool --error-exitcode 9 "$PYTHON" tools/cuda/agree.py --small --only gru
    done
else
    missing sanitizer "compute-sanitizer is not there (it comes with the CUDA toolkit)"
fi

# -- how fast
if [ $EMULATED = 1 ]; then
    step bench 60 "$PYTHON" tools/bench/gpu.py --emulated --json "$OUT/results.json"
else
    has torch || missing comparison "$PYTHON has no torch: times without ratios"
    step bench 180 "$PYTHON" tools/bench/gpu.py --json "$OUT/results.json" --table "$OUT/table.md" \
        --budget "$(($(left) < 180 ? $(left) - 30 : 150))"
    {
        echo "# On a GPU"
        echo
        echo "Made by \`tools/gpu_check.sh\`; the steps that were run and what they gave:"
        echo
        echo '```text'
        cat "$OUT/summary.txt"
        echo '```'
        echo
        cat "$OUT/table.md" 2>/dev/null
    } >"$OUT/GPU_RESULTS.md"
fi
say "$((SECONDS - BEGIN)) s in all; failed or not done: ${FAILED[*]:-none}"
[ ${#FAILED[@]} = 0 ]
