# Sourced by components that stand for programs with options as Go's flag package reads them. busybox sh.

die() { echo "$*" >&2; exit 1; }

# flags TEXTS SWITCHES "$@": reads the options before the first argument. Each sets flag_NAME; `used` is how many words
# they were.
flags() {
  texts=" $1 " switches=" $2 " used=0
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      --) used=$((used + 1)) && return ;;
      -?*) word=${1#-} word=${word#-} ;;
      *) return 0 ;;
    esac
    value=true given=
    case $word in *=*) value=${word#*=} word=${word%%=*} given=1 ;; esac
    shift
    used=$((used + 1))
    case $texts in
      *" $word "*)
        if [ -z "$given" ]; then
          [ $# -gt 0 ] || die "-$word: a value is missing"
          value=$1 used=$((used + 1))
          shift
        fi
        ;;
      *) case $switches in *" $word "*) ;; *) die "-$word: no such option here" ;; esac ;;
    esac
    eval "flag_$(echo "$word" | tr - _)=\$value"
  done
}
