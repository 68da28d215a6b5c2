#!/bin/sh
# LinuxKit's command line over the environment: FILE and SIZE, or a whole DEVICE. What is there and is not a swap space of its
# own is left as it is.
. /usr/lib/disk.sh
ENCRYPT= conditions=
while [ $# -gt 0 ]; do
  case $1 in
    --debug) set -x ;;
    --encrypt) ENCRYPT=1 ;;
    --path | --size | --condition)
      [ $# -gt 1 ] || die "$1: a value is missing"
      case $1 in --path) FILE=$2 ;; --size) SIZE=$2 ;; *) conditions="$conditions $2" ;; esac
      shift
      ;;
    -*) die "$1: no such option here" ;;
    *) DEVICE=$1 ;;
  esac
  shift
done

# bytes SIZE: prints what 1G, 64M, 4K or a number of bytes is.
bytes() {
  case $1 in
    *G) echo $((${1%G} * 1073741824)) ;;
    *M) echo $((${1%M} * 1048576)) ;;
    *K) echo $((${1%K} * 1024)) ;;
    *) echo $(($1)) ;;
  esac
}

# unmet WHAT REQUIRED: a condition does not hold: a fault where it is required, else there is nothing to do.
unmet() {
  [ "$2" != true ] || die "$1, as --condition requires"
  echo "$1: no swap space is made"
  exit 0
}

for condition in $conditions; do
  IFS=: read -r kind place first second <<END
$condition
END
  case $kind in
    part) grep -q " $place " /proc/mounts || unmet "nothing is mounted at $place" "$first" ;;
    partsize)
      size=$(df -k "$place" | awk 'END { print $2 }')
      [ $((size * 1024)) -ge "$(bytes "$first")" ] || unmet "$place is smaller than $first" "$second"
      ;;
    *) die "--condition $condition: no such condition here" ;;
  esac
done

# ours PATH: whether it is swap space, or blank.
ours() { [ "$(blkid -p -o value -s TYPE "$1" 2>/dev/null)" = swap ] || blank "$1"; }

if [ -n "$DEVICE" ]; then
  appeared "$DEVICE" || die "$DEVICE is not there"
  ours "$DEVICE" || die "$DEVICE holds $found: it is left as it is"
  target=$DEVICE
else
  [ -n "$FILE" ] || die "FILE or DEVICE: neither is said"
  case $FILE in /var/*) ;; *) die "$FILE: no file below /var" ;; esac
  size=$(bytes "${SIZE:-64M}")
  # What encrypts with a new key at each boot cannot know its own by its content: a first block says it.
  mark="encrypted swap space of the component swap"
  if [ -f "$FILE" ]; then
    if [ -n "$ENCRYPT" ] && [ "$(head -n 1 "$FILE" | cut -c 1-80)" = "$mark" ]; then :; else
      ours "$FILE" || die "$FILE holds $found: it is left as it is"
    fi
  fi
  if [ ! -f "$FILE" ] || [ "$(stat -c %s "$FILE")" != "$size" ]; then
    mkdir -p "${FILE%/*}"
    : >"$FILE"
    chmod 0600 "$FILE"
    # without holes, for the kernel takes no file that has some
    dd if=/dev/zero of="$FILE" bs=1048576 count=$((size / 1048576)) 2>/dev/null &&
      head -c $((size % 1048576)) /dev/zero >>"$FILE" || die "$FILE cannot be made as large as ${SIZE:-64M}"
  fi
  target=$FILE
  if [ -n "$ENCRYPT" ]; then
    echo "$mark" | dd of="$FILE" conv=notrunc 2>/dev/null
    cryptsetup open --type plain --key-file /dev/urandom --key-size 256 --cipher aes-cbc-essiv:sha256 --offset 8 \
      "$FILE" swapfile || die "$FILE cannot be encrypted"
    target=/dev/mapper/swapfile
  fi
fi
set -e
mkswap "$target" >/dev/null
swapon "$target"
echo "$target is swap"
