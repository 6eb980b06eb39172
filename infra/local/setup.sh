#!/usr/bin/env bash
# Makes or updates one virtual environment from one hashed lock file: setup.sh VENV REQUIREMENTS
# Uses uv when it is there, else pip alone. Safe to repeat; a half-made environment is never taken for a whole one,
# and a sound one is updated in place, so that what runs from it at this moment goes on.
set -euo pipefail
venv=$1 requirements=$2 python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
  echo "setup: Python 3.11, 3.12 or 3.13 is needed ('$python' is not). Name one: make PYTHON=/path/to/python3 …" >&2
  exit 1
fi

version='import sys; print(sys.version_info[:3], sys.prefix != sys.base_prefix and "pip" in {m.name for m in __import__("pkgutil").iter_modules()})'
wanted=$("$python" -c 'import sys; print(sys.version_info[:3], True)')
rm -f "$venv/.ready"
if [ "$("$venv/bin/python" -c "$version" 2>/dev/null)" != "$wanted" ]; then
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "setup: this Python cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
    exit 1
  fi
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

echo "setup: $requirements into $venv (once; this downloads packages)" >&2
# Once .venv is there, it has uv.
if uv=$(PATH="$PATH:$PWD/.venv/bin" command -v uv); then
  "$uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes -r "$requirements"
else
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$requirements"
fi
# Our own code is imported from where Lambda will mount it.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
printf '%s\n' "$PWD/layers/core/python" > "$site/telemetry.pth"
# `telemetry` and its client, from any folder; -P keeps modules of that folder out.
if [ "$venv" = .venv ]; then
  printf '%s\n' "$PWD" >>"$site/telemetry.pth"
  printf '#!/bin/sh\nexec "%s/bin/python" -P -m infra.local.command "$@"\n' "$PWD/$venv" >"$venv/bin/telemetry"
  chmod +x "$venv/bin/telemetry"
fi
touch "$venv/.ready"
