# Sourced by components that write to devices: what a device holds, and which drives there are. busybox sh, which prefers
# its own programs: those of packages that it has too are named in full.

. /usr/lib/flags.sh

# drives: prints the machine's drives, a line each; never loop, nbd or RAM devices, nor what lies on other devices.
drives() {
  for one in /sys/block/*; do
    name=${one##*/}
    case $name in
      loop* | nbd* | *[!a-z0-9]*) continue ;;
      nvme*n*) ;;
      *[0-9]) continue ;;
    esac
    [ ! -b "/dev/$name" ] || echo "/dev/$name"
  done
}

# partition DRIVE NUMBER: prints the partition's device.
partition() { case $1 in *[0-9]) echo "${1}p$2" ;; *) echo "$1$2" ;; esac; }

# linux_partitions DRIVE: prints the devices of its partitions that are of Linux's type, a line each.
linux_partitions() {
  sfdisk --dump "$1" 2>/dev/null |
    sed -n 's/^\(\/dev\/[^ ]*\) : .*type=\(83\|0[fF][cC]63[dD][aA][fF]-[^,]*\)\(,.*\)*$/\1/p'
}

# appeared DEVICE: waits for it, for 10 s at most.
appeared() {
  tries=0
  until [ -b "$1" ]; do
    [ $tries -lt 100 ] || return 1
    usleep 100000
    tries=$((tries + 1))
  done
}

# zeros PATH FROM BYTES: whether there is nothing but zeros.
zeros() { /usr/bin/cmp -s -i "$2:0" -n "$3" "$1" /dev/zero; }

WHOLE=67108864 END=16777216 SAMPLE=262144 SAMPLES=64

# empty PATH FROM SIZE: whether PATH holds nothing but zeros from FROM up to SIZE: all of it is read up to 64 MiB; of more,
# 16 MiB at both ends and 64 places between.
empty() {
  left=$(($3 - $2))
  [ $left -gt 0 ] || return 0
  if [ $left -le $WHOLE ]; then
    zeros "$1" "$2" $left
    return
  fi
  zeros "$1" "$2" $END && zeros "$1" $(($3 - END)) $END || return 1
  step=$(((left - 2 * END) / SAMPLES)) at=$(($2 + END))
  while [ "$at" -lt $(($3 - END - SAMPLE)) ]; do
    zeros "$1" "$at" $SAMPLE || return 1
    at=$((at + step))
  done
}

# blank PATH: whether a device or file holds nothing: no signature that anybody knows, and nothing but zeros. Else `found`
# is what it holds.
blank() {
  found=
  said=$(blkid -p -o export "$1" 2>/dev/null)
  case $? in
    2) ;; # nothing that blkid knows
    0) found=$(echo "$said" | sed -n 's/^\(TYPE\|PTTYPE\)=//p' | tr '\n' ' ') found=${found:-something}; found=${found% } ;;
    8) found="more than one thing" ;;
    *) found="something that cannot be read" ;;
  esac
  [ -z "$found" ] || return 1
  if [ -b "$1" ]; then size=$(blockdev --getsize64 "$1"); else size=$(stat -c %s "$1"); fi
  if ! empty "$1" 0 "$size"; then
    found="data of a kind that nobody knows (encrypted, perhaps)"
    return 1
  fi
}

# make_fs TYPE LABEL DEVICE
make_fs() {
  case $1 in
    ext2 | ext3 | ext4) /usr/sbin/mke2fs -q -F -t "$1" ${2:+-L "$2"} "$3" ;;
    xfs) mkfs.xfs -q -f ${2:+-L "$2"} "$3" ;;
    btrfs) mkfs.btrfs -q -f ${2:+-L "$2"} "$3" ;;
    vfat) mkfs.fat ${2:+-n "$2"} "$3" ;;
    *) die "$1: no such file system here" ;;
  esac
}

# all_blank DEVICES: ends the program, naming it, at the first that is not.
all_blank() {
  for one; do
    appeared "$one" || die "$one is not there"
    blank "$one" || die "$one holds $found: it is left as it is"
  done
}

# type_of DEVICE: prints what is on it, as blkid names it.
type_of() { blkid -p -o value -s TYPE "$1" 2>/dev/null; }
