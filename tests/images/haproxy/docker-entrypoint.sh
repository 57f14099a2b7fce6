#!/bin/sh
# Options alone mean haproxy, and haproxy runs as a master with workers that stays in the
# foreground, so that a signal can reload its configuration.
set -e
case "${1:-}" in
    -*) set -- haproxy "$@" ;;
esac
if [ "${1:-}" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
