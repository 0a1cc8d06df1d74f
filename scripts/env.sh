# Sourced by the other shell scripts: `. scripts/env.sh` makes .venv, installs the pinned versions into it, and puts it first in PATH.
# A second start finds the stamp of the first and takes a fraction of a second. TRIONYX_PYTHON names the Python to build it with.

trionyx_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)

trionyx_say() { printf '%s\n' "trionyx: $*" >&2; }

# The first Python that is new enough and can make environments.
trionyx_find_python() {
    local py found='' lacks=''
    set -- python3 python3.13 python3.12 python3.11
    [ -z "${TRIONYX_PYTHON:-}" ] || set -- "$TRIONYX_PYTHON"
    for py in "$@"; do
        "$py" -c 'import sys' >/dev/null 2>&1 || continue
        if ! "$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
        then found="$found, $py is $("$py" -c 'import platform; print(platform.python_version())' 2>/dev/null)"
        elif ! "$py" -c 'import venv, ensurepip' 2>/dev/null; then lacks="$lacks, $py"
        else echo "$py"; return 0; fi
    done
    if [ -n "$lacks" ]; then trionyx_say "expected Python's venv and ensurepip, which ${lacks#, } lacks. On Debian or Ubuntu: apt install python3-venv"
    else trionyx_say "expected Python 3.11 or newer, found ${found:+${found#, }}${found:-none}. Install one (python.org, or: uv python install 3.12)," \
        "or name it: TRIONYX_PYTHON=/path/to/python bash scripts/demo.sh"; fi
    return 1
}

# What the environment was made from; it is also bound to its folder, since its scripts name that.
trionyx_stamp() {
    (cd "$trionyx_root" && { pwd; cat settings.ini constraints.txt pyproject.toml setup.py .venv/pyvenv.cfg; } 2>/dev/null | cksum)
}

trionyx_ready() {
    [ -x "$trionyx_root/.venv/bin/python" ] && [ "$(cat "$trionyx_root/.venv/trionyx.stamp" 2>/dev/null)" = "$(trionyx_stamp)" ] &&
        "$trionyx_root/.venv/bin/python" -c '' 2>/dev/null
}

# Only one installation at a time; a lock left by a process that is gone is taken over.
trionyx_lock() {
    local lock="$trionyx_root/.venv.lock" owner said=''
    until mkdir "$lock" 2>/dev/null; do
        [ -w "$trionyx_root" ] || { trionyx_say "expected a folder to write to, found $trionyx_root, which is read-only. Clone the project elsewhere."; return 1; }
        owner=$(cat "$lock/pid" 2>/dev/null || { sleep 1; cat "$lock/pid" 2>/dev/null; } || true)
        if [ -z "$owner" ] || [ "$owner" = "$$" ] || ! kill -0 "$owner" 2>/dev/null; then rm -rf "$lock"; continue; fi
        [ -n "$said" ] || trionyx_say "process $owner is installing into .venv; waiting for it"
        said=1; sleep 1
    done
    echo "$$" > "$lock/pid"
}

trionyx_install() {
    local venv="$trionyx_root/.venv" py log rc=0
    log="$venv/install.log"
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        py=$(trionyx_find_python) || return 1
        trionyx_say "making .venv with $("$py" -c 'import platform, sys; print("Python", platform.python_version(), "at", sys.executable)')"
        "$py" -m venv --clear "$venv" || { trionyx_say "could not make .venv; see the lines above"; return 1; }
    fi
    rm -f "$venv/trionyx.stamp"
    trionyx_say "installing the versions of constraints.txt (several minutes once, with torch's download the longest; log in .venv/install.log)"
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 && [ -z "${PIP_EXTRA_INDEX_URL:-}${PIP_FIND_LINKS:-}" ]; then
        trionyx_say "no GPU seen: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu saves some gigabytes of CUDA libraries"
    fi
    (cd "$trionyx_root" && set -o pipefail && "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        -e '.[dev]' -c constraints.txt 2>&1 | tee "$log" | awk '/^ *Downloading.*[MG]B\)|^ *Installing collected|ERROR/ {print "  " substr($0, 1, 110); fflush()}' >&2) || rc=$?
    if [ "$rc" -ne 0 ]; then
        tail -n 5 "$log" >&2
        trionyx_say "installation failed: the last lines of .venv/install.log are above. Mend the cause (network? disk?) and start again."
        return 1
    fi
    trionyx_stamp > "$venv/trionyx.stamp.new" && mv "$venv/trionyx.stamp.new" "$venv/trionyx.stamp"   # last: its presence means complete
    trionyx_say "environment ready"
}

# A package apart from the others, as trionyx_extra ray==2.60.0: in .venv/extra/ray, for PYTHONPATH; the demo reads what is in .venv itself.
trionyx_extra() {
    local to="$trionyx_root/.venv/extra/${1%%==*}"
    [ "$(cat "$to/stamp" 2>/dev/null)" != "$1" ] || return 0
    rm -rf "$to"
    python -m pip install -q --disable-pip-version-check --no-input --progress-bar off --target "$to" "$1" -c "$trionyx_root/constraints.txt" >"$trionyx_root/.venv/extra.log" 2>&1 &&
        printf '%s' "$1" > "$to/stamp" || { rm -rf "$to"; trionyx_say "could not install $1; see .venv/extra.log"; return 1; }
}

trionyx_env() {
    local rc=0
    if ! trionyx_ready; then
        trionyx_lock || return 1
        trionyx_ready || trionyx_install || rc=1   # another process may have finished it meanwhile
        rm -rf "$trionyx_root/.venv.lock"
        [ "$rc" -eq 0 ] || return 1
    fi
    unset PYTHONHOME
    export VIRTUAL_ENV="$trionyx_root/.venv" PATH="$trionyx_root/.venv/bin:$PATH"
}

trionyx_env
