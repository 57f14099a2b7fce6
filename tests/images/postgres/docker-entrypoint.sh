#!/usr/bin/env bash
# Starts Postgres by the contract of the public image: first start creates the cluster from
# POSTGRES_* and runs /docker-entrypoint-initdb.d, every later start only starts the server.
set -Eeuo pipefail
shopt -s nullglob

readonly SETTINGS=(POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_INITDB_ARGS)

fail() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

# Secrets are often readable for root only, so files are read before the change of user.
read_settings_from_files() {
    local name file value
    for name in "${SETTINGS[@]}"; do
        file="${name}_FILE"
        [ -n "${!file:-}" ] || continue
        [ -z "${!name:-}" ] || fail "both $name and $file are set, only one can be meant"
        value="$(<"${!file}")"
        export "$name"="$value"
        unset "$file"
    done
    export POSTGRES_USER="${POSTGRES_USER:-postgres}"
    export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
    export POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-}"
    export POSTGRES_HOST_AUTH_METHOD="${POSTGRES_HOST_AUTH_METHOD:-}"
}

create_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA" || true
    chmod 3775 /var/run/postgresql || true
    if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 700 "$POSTGRES_INITDB_WALDIR"
    fi
    [ "$(id -u)" = 0 ] || return 0
    find "$PGDATA" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} /var/run/postgresql \
        \! -user postgres -exec chown postgres '{}' +
}

refuse_without_password() {
    [ -z "$POSTGRES_PASSWORD" ] || return 0
    if [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
        echo 'Warning: POSTGRES_HOST_AUTH_METHOD=trust lets anyone in without a password.' >&2
        return 0
    fi
    fail 'no superuser password: set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) to a value' \
        'that is not empty, or POSTGRES_HOST_AUTH_METHOD=trust to do without one.'
}

create_cluster() {
    local arguments=()
    # The variable holds shell words, quotes included.
    eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        ${POSTGRES_INITDB_WALDIR:+--waldir "$POSTGRES_INITDB_WALDIR"} \
        ${arguments[@]+"${arguments[@]}"}
}

allow_remote_clients() {
    local method="$POSTGRES_HOST_AUTH_METHOD"
    [ -n "$method" ] || method="$(postgres -C password_encryption "$@")"
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# Nobody outside may connect before the cluster is complete: a socket, no TCP.
start_temporary_server() {
    PGUSER="$POSTGRES_USER" pg_ctl --pgdata="$PGDATA" --wait start \
        -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")"
}

stop_temporary_server() {
    PGUSER="$POSTGRES_USER" pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
}

# Feed stdin or arguments to psql; errors end the start, as half a schema helps nobody.
run_sql() {
    PGHOST='' PGHOSTADDR='' psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password \
        --no-psqlrc "$@"
}

create_database() {
    local known
    known="$(run_sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only --no-align \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")"
    [ -n "$known" ] || run_sql --dbname postgres --set db="$POSTGRES_DB" \
        <<<'CREATE DATABASE :"db";'
}

run_first_start_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "$0: first start: $file"
        case "$file" in
            *.sh)
                # One that is not executable is meant to be read into this shell.
                # shellcheck disable=SC1090
                if [ -x "$file" ]; then "$file"; else . "$file"; fi
                ;;
            *.sql) run_sql --dbname "$POSTGRES_DB" --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *.sql.xz) xz --decompress --stdout "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *.sql.zst) zstd --decompress --stdout "$file" | run_sql --dbname "$POSTGRES_DB" ;;
            *) echo "$0: ignoring $file" ;;
        esac
    done
}

first_start() {
    refuse_without_password
    # What can't be read or listed now would otherwise be found out after the cluster exists.
    ls /docker-entrypoint-initdb.d/ >/dev/null
    create_cluster
    allow_remote_clients "$@"
    export PGPASSWORD="$POSTGRES_PASSWORD"
    start_temporary_server "$@"
    create_database
    run_first_start_files
    stop_temporary_server
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

wants_help() {
    local argument
    for argument; do
        case "$argument" in
            -'?' | --help | --describe-config | -V | --version | -C) return 0 ;;
        esac
    done
    return 1
}

main() {
    if [ "${1:0:1}" = - ]; then
        set -- postgres "$@"
    fi
    if [ "${1:-}" = postgres ] && ! wants_help "$@"; then
        read_settings_from_files
        create_folders
        if [ "$(id -u)" = 0 ]; then
            exec gosu postgres "${BASH_SOURCE[0]}" "$@"
        fi
        if [ -s "$PGDATA/PG_VERSION" ]; then
            printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
        else
            first_start "${@:2}"
        fi
    fi
    exec "$@"
}

# Other images source this file for its functions.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    main "$@"
fi
