# Makes sure that the node's pool is mounted: a btrfs file system in a file, which is made once and never made anew.
# Safe to repeat and to be killed anywhere. With a larger POOL_SIZE_GIGABYTES it grows; it never shrinks.
set -eu

pool=/mnt/tesslate-pool
file=/mnt/tesslate-pool-data/pool.img
wanted=$((POOL_SIZE_GIGABYTES * 1024 * 1024 * 1024))

# What is mounted there, and from which device; of several mounts the last one shows.
mounted() {
    awk -v at="$pool" -v field="$1" '$2 == at { found = $field } END { print found }' /proc/mounts
}

if [ ! -e "$file" ] && [ "$(mounted 3)" != btrfs ]; then
    # Under another name until it is whole: half a file system would be found here for ever.
    rm -f "$file.new"
    truncate -s "$wanted" "$file.new"
    mkfs.btrfs --quiet --label tesslate-pool "$file.new"
    sync
    mv "$file.new" "$file"
fi

grows=no
if [ -e "$file" ] && [ "$(stat -c %s "$file")" -lt "$wanted" ]; then
    truncate -s "$wanted" "$file"
    grows=yes
fi

if [ "$(mounted 3)" != btrfs ]; then
    mount -t btrfs -o loop,compress=zstd "$file" "$pool" || {
        echo "this node can't mount btrfs from a file: its kernel needs the modules btrfs and loop" >&2
        exit 1
    }
elif [ "$grows" = yes ]; then
    losetup -c "$(mounted 1)"
fi
# A run that was killed in between may have left it small; a pool of the right size stays as it is.
[ ! -e "$file" ] || btrfs filesystem resize max "$pool"

mkdir -p "$pool/volumes" "$pool/snapshots" "$pool/templates" "$pool/layers"
