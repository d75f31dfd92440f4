#!/bin/sh
# Makes ./configure in a tree that came from git; a release tarball has it.
set -eu
cd "$(dirname "$0")"
exec autoreconf --install --warnings=all,no-portability
