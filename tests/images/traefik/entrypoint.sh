#!/bin/sh
# Options and Traefik's own subcommands may be given without the program's name.
set -e
case "${1:-}" in
    -* | healthcheck | version) set -- traefik "$@" ;;
esac
exec "$@"
