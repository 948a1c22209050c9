#!/usr/bin/env bash
# Slower or special runs that belong to every landing but not to the default test run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

echo "== types"
$bin/mypy

echo "== the matching suite with NumPy's bounds checked (a warm cache would ignore the flag)"
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR="$cache" $bin/pytest -q tests/unit/test_matching*.py tests/unit/test_book.py tests/property/test_matching_oracle.py
