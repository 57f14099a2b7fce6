#!/bin/sh
# Gives new disks what the image has at their place, as Docker does: contents, owner and mode of the folder.
#
#   fill-disks.sh PLACE…    the disks are mounted at /moorage/volumes/1, 2, …
#
# A disk is filled when it is empty, or when a filling was cut off: before its end no program has seen it. Who fills writes
# its name; another pod waits for it, and goes on itself only when that seems to be gone.
set -eu
number=0
for place in "$@"; do
    number=$((number + 1))
    disk=/moorage/volumes/$number
    mark=$disk/.moorage-filling
    looks=0
    while [ -e "$mark" ] && [ "$(cat "$mark")" != "${HOSTNAME:-pod}" ] && [ "$looks" -lt 120 ]; do
        looks=$((looks + 1))
        sleep 1
    done
    if [ ! -e "$mark" ]; then
        found=
        for entry in "$disk"/* "$disk"/.[!.]* "$disk"/..?*; do
            case "${entry##*/}" in lost+found|'*'|'.[!.]*'|'..?*') ;; *) found=yes ;; esac
        done
        if [ -n "$found" ]; then continue; fi
    fi
    [ -d "$place" ] || continue
    printf '%s' "${HOSTNAME:-pod}" >"$mark"
    if [ "$(id -u)" = 0 ]; then
        cp -a "$place/." "$disk/"
        chown "$(stat -c %u:%g "$place")" "$disk"
        chmod "$(stat -c %a "$place")" "$disk"
    else
        cp -R "$place/." "$disk/"
    fi
    rm -f "$mark"
done
