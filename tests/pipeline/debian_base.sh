#!/bin/sh
# debian_base.sh NAME: a stand-in for python:3.11-slim where no registry of images can be reached.
#
# Debian 12 without the rest, and the Python that `python3.11` starts here, copied to /usr/local. Needs root, debootstrap,
# podman, and a Python 3.11.5 or later (uv reads lower bounds, and a pin asks for it) built for Debian 12 or older.
set -eu
name=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
libraries=libbz2-1.0,libcrypt1,libexpat1,libffi8,liblzma5,libncursesw6,libnsl2,libreadline8,libsqlite3-0,libssl3
debootstrap --variant=minbase --include="ca-certificates,$libraries,libtirpc3,libuuid1,netbase,tzdata,zlib1g" \
    bookworm "$folder"
prefix=$(python3.11 -c 'import sys; print(sys.base_prefix)')
tar --create --directory "$prefix" --exclude=site-packages --exclude=__pycache__ --exclude=lib/python3.11/test \
    --exclude='*.a' bin/python3.11 include lib | tar --extract --directory "$folder/usr/local"
chroot "$folder" /sbin/ldconfig
chroot "$folder" python3.11 -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, venv, zlib'
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
tar --create --directory "$folder" . | podman import - "$name"
