#!/bin/sh
# Joins the rendered settings and the password (one finished line in REDIS_SECRET_SETTINGS) in a private file.
set -eu
umask 077
{
    cat "$1"
    # Redis 8 brings modules (JSON, search…) that the image's own start, which this one replaces, loads.
    for module in /usr/local/lib/redis/modules/*.so; do
        if [ -x "$module" ]; then printf 'loadmodule %s\n' "$module"; fi
    done
    printf '%s\n' "${REDIS_SECRET_SETTINGS:-}"
} >/tmp/redis.conf
unset REDIS_SECRET_SETTINGS
server=redis-server
command -v "$server" >/dev/null || server=valkey-server
exec "$server" /tmp/redis.conf
