#!/bin/sh
# Options, and names that are no program, are for node.
set -e
case "${1:-}" in
    -*) set -- node "$@" ;;
    *) command -v "${1:-node}" >/dev/null || set -- node "$@" ;;
esac
exec "$@"
