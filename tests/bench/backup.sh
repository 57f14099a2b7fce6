#!/bin/sh
# The backup bench inside of the job's image, with its data on the disk of Docker.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
image=moorage-test/job:bench
docker build --quiet --tag "$image" --build-arg BASE=postgres:17 "$here/tests/job" >/dev/null
docker volume create moorage-bench-backup >/dev/null
trap 'docker volume rm --force moorage-bench-backup >/dev/null' EXIT
docker run --rm -v moorage-bench-backup:/bench "$image" chown 999:999 /bench
docker run --rm --pull never --user 999:999 --shm-size 512m --tmpfs /volumes:mode=1777 \
    -e BENCH_FOLDER=/bench -v moorage-bench-backup:/bench -v "$here/installer:/opt/moorage:ro" -v "$here/tests:/tests:ro" \
    "$image" python3 /tests/bench/backup.py "$@"
