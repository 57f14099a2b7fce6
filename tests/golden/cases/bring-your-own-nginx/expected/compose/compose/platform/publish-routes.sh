#!/bin/sh
# Publishes route files to the running proxy, which reads a folder.
#
#   publish         bring /live to what was rendered; a rollout file stays, `remove` ends it
#   put NAME        write standard input to /live/NAME
#   remove NAME     delete /live/NAME
#
# A file appears whole, by rename: the proxy may read at any moment.
set -eu

put() {
    cat >"/live/.$1.part"
    mv -f "/live/.$1.part" "/live/$1"
}

case "$1" in
    publish)
        for file in /rendered/*.yaml; do
            put "$(basename "$file")" <"$file"
        done
        for file in /live/*.yaml; do
            name=$(basename "$file")
            [ -e "/rendered/$name" ] || [ "$name" = rollout.yaml ] || rm -f "$file"
        done
        ;;
    put) put "$2" ;;
    remove) rm -f "/live/$2" ;;
    *)
        echo "usage: publish-routes.sh publish | put NAME | remove NAME" >&2
        exit 2
        ;;
esac
