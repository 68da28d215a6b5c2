#!/bin/sh
# build.sh OUT: compiles the guest's native programs for every architecture with Debian's (cross) compilers into
# OUT/ARCH/. The results are checked in; tests/build/test_native.py rebuilds them and compares.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
# the table of architectures says whose compilers
rows='from harness.arch import ARCHES; print(*(f"{row.name}:{row.cross}" for row in ARCHES.values()))'
pairs=$(cd "$here/../../.." && python3 -c "$rows")
for pair in $pairs; do
  arch=${pair%%:*} triplet=${pair#*:}
  mkdir -p "$out/$arch"
  for program in stage1 stage1_bare stage1_verity stage1_verity_bare mark await power; do
    case $program in *_verity*) define=-DVERITY ;; *) define= ;; esac
    case $program in *_bare) define="$define -DBARE" ;; esac
    # shellcheck disable=SC2086
    (cd "$here" && "$triplet-gcc-12" -Wall -Wextra -Werror -Os -std=gnu11 -ffreestanding -nostdlib -static -fno-pie \
      -no-pie -fno-stack-protector -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-ident \
      -fno-tree-loop-distribute-patterns -fno-strict-aliasing -Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noexecstack \
      -Wl,-z,noseparate-code -Wl,-s $define -o "$out/$arch/$program" "${program%%_*}.c")
  done
  (cd "$here" && "$triplet-gcc-12" -Wall -Wextra -Werror -Os -std=gnu11 -ffreestanding -nostdlib -shared -fPIC \
    -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noexecstack \
    -Wl,-z,noseparate-code -Wl,-s -Wl,--hash-style=both -Wl,-soname=libsystemd.so.0 \
    -Wl,--version-script=libsystemd.map -o "$out/$arch/libsystemd.so.0" libsystemd.c)
done
