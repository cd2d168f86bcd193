#!/bin/sh
# Prints the Python to build .venv with: PYTHON where it is set, else the first of these that is new enough and has venv.
set -eu
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
venv='import ensurepip, venv'
found="" bare=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.14 python3.11}; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    found="$found $candidate ($("$candidate" --version 2>&1 | head -n 1));"
    "$candidate" -c "$fits" 2>/dev/null || continue
    if "$candidate" -c "$venv" 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
    bare=$candidate
done
{
    if [ -n "$bare" ]; then
        version=$("$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Foretell: $bare has no venv module, so no environment can be made."
        echo "  On Debian or Ubuntu: apt install python$version-venv     then run make again."
    else
        echo "Foretell needs Python 3.11 to 3.14; found:${found:- none}."
        echo "  On Debian 12+ or Ubuntu 24.04+: apt install python3 python3-venv     then run make again."
        echo "  One that is elsewhere: make PYTHON=/path/to/python3.12 ..."
    fi
} >&2
exit 1
