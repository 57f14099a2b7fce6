#!/bin/sh
# Install the engine packages of the suite $1, which may be newer than the system's own.
set -eu
suite=$1
packages="docker.io docker-cli docker-compose docker-buildx containerd"

if ! grep -q " $suite main" /etc/apt/sources.list; then
    # The same mirror, and a pin that keeps everything that is not named out.
    sed -n "s/^deb \(\S*\) \S* main$/deb \1 $suite main/p;T;q" /etc/apt/sources.list \
        >/etc/apt/sources.list.d/engine.list
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 1\n' "$suite" \
        >/etc/apt/preferences.d/engine
fi
apt-get update
for package in $packages; do echo "$package/$suite"; done |
    xargs apt-get install --yes --no-install-recommends
rm -rf /etc/apt/sources.list.d/engine.list /etc/apt/preferences.d/engine /var/lib/apt/lists/*
