#!/usr/bin/env bash
# Find or make the Python for a task and print its path:
#     python=$(bash requirements/install.sh lint|demo|test|test-all|docs|doctor|mutants [LEG])
#
# In this order: MMATTN_PYTHON; an active virtual environment that has all the task needs; .venv, made here when missing.
# For the legs A and C of the test matrix: .venv-A, .venv-C; status 3 says that there is no Python or no disk for them.
# Only these folders are ever written to.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 3>&1 1>&2 # only the path goes to stdout
trap 'exit 130' INT TERM HUP

task=${1%-all}
leg=${2:-B}
venv=$PWD/.venv
case $leg in
    A) pinned=(requirements/stock-torch21.txt) pythons='3.10 3.11' venv+=-A ;;
    B) pinned=(requirements/{mmcv,openmmlab,panoptic,torch}.txt) pythons='3.10 3.11 3.12' ;;
    C) pinned=(requirements/newest.txt) pythons='3.13 3.12' venv+=-C ;;
    *) echo "mmattn: the legs are A, B and C, not $leg" >&2; exit 1 ;;
esac
py=$venv/bin/python
stamps=$venv/mmattn-stamps
mmcv=$(grep -hE '^(onedl-)?mmcv==' "${pinned[@]}")
# Instead of a constraint that the machine may have; and most of what a leg gets is never imported.
[ "$leg" = B ] || export PIP_CONSTRAINT=${pinned[0]} PIP_NO_COMPILE=1
needs=(torch mmengine mmcv mmseg mmdet mmpretrain)
[ "$task" != doctor ] || needs=() # it says itself what is missing
[ "$task" != lint ] || needs+=(ruff mypy codespell_lib)
[[ $task != test && $task != mutants ]] || needs+=(pytest xdist pytest_timeout)
[ "$task" != docs ] || needs+=(mkdocs material mkdocstrings_handlers.python)
[ "$task" != mutants ] || needs+=(mutmut)

say() { echo "mmattn: $*" >&2; }
die() { say "$@"; exit 1; }
# Without PYTHONPATH: pip would take what lies there for installed.
pip() { PYTHONPATH='' "$py" -m pip --disable-pip-version-check "$@"; }

# ---- A Python that is there already ----

# What Python $1 cannot import of the things the task needs.
lacks() {
    "$1" - "${needs[@]}" 2>/dev/null <<'PY' || echo 'a Python that runs'
import contextlib, importlib, sys
lacking = []
with contextlib.redirect_stdout(sys.stderr):
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name)
        except Exception as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == name
            lacking.append(name if absent else f'{name} ({" ".join(str(error).split())})')
print(', '.join(lacking))
PY
}

if [ "$leg" = B ] && [ -n "${MMATTN_PYTHON:-}" ]; then
    lacking=$(lacks "$MMATTN_PYTHON")
    [ -z "$lacking" ] || die "MMATTN_PYTHON=$MMATTN_PYTHON lacks: $lacking (tested versions: requirements/)"
    "$MMATTN_PYTHON" -c 'import sys; print(sys.executable)' >&3
    exit
fi
# .venv itself, when active, is treated like .venv.
if [ "$leg" = B ] && [ -n "${VIRTUAL_ENV:-}" ] && [ ! "$VIRTUAL_ENV" -ef "$venv" ]; then
    lacking=$(lacks "$VIRTUAL_ENV/bin/python")
    if [ -z "$lacking" ]; then
        echo "$VIRTUAL_ENV/bin/python" >&3
        exit
    fi
    say "the active environment lacks: $lacking; it is left alone and .venv is used"
fi

# ---- .venv ----

# Print the Python that makes the environment. One leg needs another Python than the next: PYTHON only comes first there.
base_python() {
    local version candidate candidates bare=
    if [ "$leg" = B ]; then
        candidates=${PYTHON:-python3 python3.12 python3.11 python3.10}
    else
        candidates=${PYTHON:-}
        for version in $pythons; do
            candidates+=" python$version $(echo "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python)"
        done
    fi
    for candidate in $candidates; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        [[ " $pythons " = *" $version "* ]] || continue
        if "$candidate" -c 'import venv, ensurepip; ensurepip.version()' 2>/dev/null; then
            [[ $leg = B || $pythons = "$version "* ]] || say "leg $leg is meant for Python ${pythons%% *}; $candidate is $version"
            echo "$candidate"
            return
        fi
        bare=$candidate
    done
    [ -z "$bare" ] || die "$bare cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"
    say "no Python ${pythons// / or } found (tried: ${candidates# }); name one with PYTHON=/path/to/python"
    exit 3
}

# A step is done when its stamp holds the checksum of what it was made from. Stamps are written last.
pins=$(cat requirements/dev.txt "${pinned[@]}" | cksum)
metadata=$(cat pyproject.toml setup.* | cksum)
is_done() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() { echo "$2" > "$stamps/$1"; }

# Run pip with a mark that stays when it is interrupted: half a package looks whole to the next pip.
marked() {
    local rc=0
    touch "$stamps/unfinished"
    "$@" || rc=$?
    [ $rc -gt 128 ] || rm "$stamps/unfinished"
    return $rc
}

# Set $wheel to mmcv with compiled ops. It is compiled once and kept in pip's cache folder: fresh clones find it.
find_or_compile_ops() {
    local key cache folder
    key=${mmcv/==/-}-$("$py" -c '
import sys, torch
print("torch-%s-cp%d%d" % (torch.__version__, *sys.version_info[:2]))')
    cache=$(pip cache dir 2>/dev/null) && mkdir -p "$cache/mmattn/$key" 2>/dev/null || cache=$venv # pip may have no cache
    folder=$cache/mmattn/$key
    mkdir -p "$folder"
    wheel=$(find "$folder" -maxdepth 1 -name '*.whl')
    [ -z "$wheel" ] || return 0

    command -v "${CXX:-g++}" > /dev/null ||
        die "the ops of mmcv need a C++ compiler, ${CXX:-g++} is not found; on Debian and Ubuntu: apt install g++"
    [ -e "$("$py" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
        die "the ops of mmcv need Python.h, which is not found; on Debian and Ubuntu: apt install python3-dev"
    say "compiling $mmcv with its ops: about 9 minutes on 2 cores, only once (kept in $folder)"
    build=$(mktemp -d "$folder/build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    if [ "$leg" = C ]; then
        # mmcv asks for C++17, and this torch for C++20; of the two the compiler takes the last.
        printf '#!/bin/sh\nexec %s "$@" -std=c++20\n' "${CXX:-g++}" > "$build/c++20"
        chmod +x "$build/c++20"
        export CXX=$build/c++20
    fi
    # No GPU is shown to the build: it then makes the CPU ops, which is all the tests need, and wants no CUDA compiler.
    PATH=$venv/bin:$PATH MAX_JOBS=$(nproc) CUDA_VISIBLE_DEVICES='' \
        pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir "$build" "$mmcv"
    mv "$build"/*.whl "$folder/" # within one file system: the wheel is there whole or not at all
    wheel=$(find "$folder" -maxdepth 1 -name '*.whl')
}

if [ -e "$stamps/made-here" ] && { [ ! -e "$py" ] || [ -e "$stamps/unfinished" ] || ! is_done tools "$pins"; }; then
    say "making ${venv##*/} again: an install was interrupted, or requirements/ changed"
    rm -rf "$venv"
fi
if [ ! -e "$py" ]; then
    base=$(base_python)
    mkdir -p "$stamps"
    touch "$stamps/made-here"
    marked "$base" -m venv "$venv"
fi
mkdir -p "$stamps"

if ! is_done tools "$pins"; then
    marked pip install -r requirements/dev.txt
    stamp tools "$pins"
fi
if ! is_done stack "$pins"; then
    say "installing torch and the OpenMMLab stack into ${venv##*/}: a download of 3 GB, 6 GB on disk"
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1000000) }')
    if [ "${free:-10}" -lt 10 ]; then # download and packages are there at once
        say "$PWD needs 10 GB of free disk, and has $free GB; delete something, or work on another disk"
        [ "$leg" = B ] && exit 1 || exit 3
    fi
    if [ "$leg" = B ]; then
        marked pip install -r requirements/torch.txt -r requirements/openmmlab.txt
        marked pip install --no-deps -r requirements/panoptic.txt
    else
        marked pip install torch torchvision # with what they need of CUDA
        marked pip install --no-deps -r <(grep -v "^$mmcv" "${pinned[0]}")
    fi
    # Of the two opencv builds the last one installed lies on disk: the headless one, which needs no libGL.
    marked pip install --force-reinstall --no-deps "$(grep -h '^opencv-python-headless==' "${pinned[@]}")"
    stamp stack "$pins"
fi
if ! is_done package "$metadata"; then
    marked pip install --no-deps --no-build-isolation -e .
    stamp package "$metadata"
fi
# Not among the pins, which make .venv again for everybody. What needs them is skipped on the legs A and C.
if [[ $leg = B && ($task = demo || $task = test) ]] && ! is_done tools-txt "$(cksum < requirements/tools.txt)"; then
    marked pip install -c requirements/openmmlab.txt -c requirements/torch.txt -r requirements/tools.txt
    stamp tools-txt "$(cksum < requirements/tools.txt)"
fi
if [ "$task" = demo ] && ! is_done mmcv "$pins"; then
    # pip's isolated build has no torch: it compiles no ops and takes seconds. Keep that wheel out of pip's cache, where
    # other projects would find it, and take none from there.
    marked pip install --no-deps --no-cache-dir "${mmcv/#mmcv==/mmcv-lite==}"
    stamp mmcv "$pins"
fi
if [[ $task = test || $task = docs || $task = mutants ]] && ! is_done ops "$pins"; then
    if ! "$py" -c 'import torch, mmcv._ext' 2>/dev/null; then
        find_or_compile_ops
        [ "$leg" != A ] || marked pip uninstall -y mmcv-lite # in the same folder
        marked pip install --force-reinstall --no-deps "$wheel"
        "$py" -c 'import torch, mmcv._ext' || die "mmcv._ext cannot be imported; delete $wheel and run make test again"
    fi
    stamp mmcv "$pins" # a later demo keeps the ops
    stamp ops "$pins"
fi
if [ "$task" = docs ] && ! is_done docs "$(cksum < requirements/docs.txt)"; then
    marked pip install -r requirements/docs.txt
    stamp docs "$(cksum < requirements/docs.txt)"
fi
if [ "$task" = mutants ] && ! is_done mutants "$(cksum < tests/mutants/requirements.txt)"; then
    marked pip install -r tests/mutants/requirements.txt
    stamp mutants "$(cksum < tests/mutants/requirements.txt)"
fi
echo "$py" >&3
