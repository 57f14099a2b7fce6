#!/bin/sh
# One night: take a backup, restore it to see whether that can be done, conclude. Called by the systemd timer, by cron,
# by `moorage backup run`, or by hand; the exit status is that of the first phase that failed.
#
# `conclude` always runs: it writes down what happened, also when a phase before was killed.
set -u

# Cron gives no more than /usr/bin:/bin.
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME="${HOME:-/root}"
export PATH HOME

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
# Made for this deployment: PROJECT, ENVIRONMENT, SERVICE, DRILL_SERVICE.
# shellcheck disable=SC1091
. "$here/night.settings"
cd -- "$here/../compose" || exit 1

status=0
failed_phase=''
stopped=0

# A phase that is under way ends first: `docker compose` hands the signal on to it.
trap 'stopped=130' INT
trap 'stopped=143' TERM HUP

failed() {
    if [ "$status" -eq 0 ]; then
        status=$2
        failed_phase=$1
    fi
}

phase() {
    docker compose run --rm --no-deps -T "$2" "$1" --plan /plan/plan.json </dev/null
    answer=$?
    if [ "$answer" -eq 0 ]; then
        answer=$stopped
    fi
    [ "$answer" -eq 0 ] || failed "$1" "$answer"
    return "$answer"
}

# The hook does not hold the lock: one that hangs must not keep the next night from running.
tell() {
    [ -x "$here/on-failure.sh" ] || return 0
    MOORAGE_PROJECT=$PROJECT MOORAGE_ENVIRONMENT=$ENVIRONMENT MOORAGE_FOLDER=${here%/rendered/*} \
        MOORAGE_STATUS=$status MOORAGE_PHASE=$failed_phase "$here/on-failure.sh" </dev/null 9<&- ||
        echo "night.sh: the command of backups.on_failure failed with status $?" >&2
}

# This folder is the lock: it stays when its files are rendered anew, and nothing has to be tidied away.
exec 9<"$here"
if ! flock -n 9; then
    echo "night.sh: another night of $PROJECT is still under way; this one does nothing" >&2
    failed lock 23
    tell
    exit "$status"
fi

# Of what is half exchanged no backup is made.
if [ -e "${here%/rendered/*}/releases/$ENVIRONMENT/exchange" ]; then
    echo "night.sh: a restore of $PROJECT was cut off half way: \`moorage backup restore\` goes on with it" >&2
    failed restore 23
    tell
    exit "$status"
fi

if phase take "$SERVICE"; then
    phase drill "$DRILL_SERVICE"
fi
stopped=0
phase conclude "$SERVICE"

if [ "$status" -ne 0 ]; then
    echo "night.sh: $failed_phase of $PROJECT ended with status $status" >&2
    tell
fi
exit "$status"
