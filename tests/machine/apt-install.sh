#!/bin/sh
# Install Debian packages, by sudo when this isn't root.
set -eu
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
echo "installing $*" >&2
$as_root apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
