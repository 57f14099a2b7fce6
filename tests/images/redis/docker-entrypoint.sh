#!/bin/sh
# Starts Redis by the contract of the public image: options or a config file alone mean the
# server, and the server runs as user redis, who owns /data.
set -e

# True if an argument, or the config file that is the first of them, has a say in it.
sets_protected_mode() {
    for argument; do
        [ "$argument" != --protected-mode ] || return 0
    done
    [ -f "${1:-}" ] && grep -qiE '^[[:space:]]*protected-mode[[:space:]]' "$1"
}

case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi

if [ "${1:-}" = redis-server ]; then
    # Snapshots and append-only files are nobody else's business, unless the caller says so.
    [ "$(umask)" != 0022 ] || umask 0077
    case "${2:-}" in
        -v | --version | -h | --help | --test-memory | --check-system | -) ;;
        # The public image is built with protected mode off, Debian's is not.
        *)
            server=$1
            shift
            sets_protected_mode "$@" || set -- "$@" --protected-mode no
            set -- "$server" "$@"
            ;;
    esac
fi

exec "$@"
