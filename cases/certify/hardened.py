"""The profile `hardened`: what the kernel defends itself with, no setuid file, no module that nobody has signed.

The kernel's options and settings are those that the Kernel Self-Protection Project recommends
(https://kspp.github.io/Recommended_Settings) and that a running kernel shows."""

from harness.arch import ARCHES
from harness.suite import control, judge

# A function that the kernel has only with this option, and the architectures that do not have the option.
BUILT_IN = {
    "CONFIG_HARDENED_USERCOPY": ("__check_object_size", ()),
    "CONFIG_FORTIFY_SOURCE": ("fortify_panic", ()),
    "CONFIG_STACKPROTECTOR": ("__stack_chk_fail", ("s390x",)),
    "CONFIG_STRICT_KERNEL_RWX": ("mark_rodata_ro", ()),
    "CONFIG_STRICT_MODULE_RWX": ("module_enable_ro", ()),
    "CONFIG_SLAB_FREELIST_RANDOM": ("cache_random_seq_create", ()),
    "CONFIG_LIST_HARDENED or CONFIG_DEBUG_LIST": ("__list_add_valid", ()),
    "CONFIG_SECCOMP_FILTER": ("__seccomp_filter", ()),
    "CONFIG_SECURITY_YAMA": ("yama_ptrace_access_check", ()),
    "CONFIG_VMAP_STACK": ("free_vm_stack_cache", ()),
}
# The least value that is safe, of settings that Debian's kernel has by itself.
SETTINGS = {
    "kernel/randomize_va_space": 2,
    "kernel/dmesg_restrict": 1,
    "kernel/unprivileged_bpf_disabled": 1,
    "kernel/perf_event_paranoid": 2,
    "fs/protected_symlinks": 1,
    "fs/protected_hardlinks": 1,
}
# Likewise, of settings that an image has to make.
MORE_SETTINGS = {
    "kernel/kptr_restrict": 1,
    "kernel/kexec_load_disabled": 1,
    "kernel/yama/ptrace_scope": 1,
    "net/core/bpf_jit_harden": 2,
    "fs/protected_fifos": 1,
    "fs/protected_regular": 1,
}
# The greatest value that is safe.
OFF = {"vm/unprivileged_userfaultfd": 0, "fs/suid_dumpable": 0}
MORE_OFF = {"dev/tty/ldisc_autoload": 0}
# An OS may have no `find`: then the shell walks, and leaves out what is mounted below, which is looked at by itself.
SETUID = """
if command -v find >/dev/null; then
  for top; do find "$top" -xdev -type f \\( -perm -4000 -o -perm -2000 \\); done
  exit
fi
mounted=" "
while read -r _ place _; do mounted="$mounted$place "; done </proc/mounts
walk() {
  for file in "$1"/* "$1"/.[!.]*; do
    [ -L "$file" ] && continue
    if [ -d "$file" ]; then
      case $mounted in *" $file "*) ;; *) walk "$file" ;; esac
    elif [ -f "$file" ]; then
      if [ -u "$file" ] || [ -g "$file" ]; then echo "$file"; fi
    fi
  done
}
for top; do walk "${top%/}"; done
"""
SIGNED = b"~Module signature appended~\n"  # how a signed module ends, kernel/module_signature.c
UNSIGNED = """
for top; do
  find "$top" -xdev -type f \\( -name '*.ko' -o -name '*.ko.*' \\) | while IFS= read -r file; do
    case $file in *.ko) [ "$(tail -c 28 "$file")" = "~Module signature appended~" ] && continue ;; esac
    echo "$file"
  done
done
"""


def test_kernel_defends_itself(shell, machine):
    assert machine.arch in ARCHES, f"what a kernel of {machine.arch} has is not known"
    wanted = {symbol: option for option, (symbol, without) in BUILT_IN.items() if machine.arch not in without}
    pattern = "|".join(wanted)
    said = shell.run(f"grep -wE '{pattern}' /proc/kallsyms", timeout=120).text
    found = {line.split()[2] for line in said.splitlines() if len(line.split()) > 2}
    missing = sorted(option for symbol, option in wanted.items() if symbol not in found)
    assert not missing, f"the kernel is without {', '.join(missing)}"


def test_memory_is_cleared_when_it_is_given_out(shell):
    log = shell.run("dmesg", check=True).text
    line = next((one for one in log.splitlines() if "mem auto-init:" in one), "")
    assert "heap alloc:on" in line, (
        f"the kernel is without CONFIG_INIT_ON_ALLOC_DEFAULT_ON: {line or 'it says nothing'}"
    )


def settings(shell, least, most):
    """What is set otherwise; a setting that the kernel does not have cannot be set wrongly."""
    names = " ".join(least | most)
    said = shell.run(f'cd /proc/sys && for f in {names}; do [ -e $f ] && echo "$f $(cat $f)"; done; :', check=True).text
    found = {name: int(value) for name, value in (line.split(" ", 1) for line in said.splitlines())}
    if not found:
        control.not_run("no setting of the kernel can be read below /proc/sys")
    wrong = [
        f"{name} is {found[name]}, at least {value}" for name, value in least.items() if found.get(name, value) < value
    ]
    return wrong + [
        f"{name} is {found[name]}, at most {value}" for name, value in most.items() if found.get(name, 0) > value
    ]


def test_settings_of_the_kernel(shell):
    wrong = settings(shell, SETTINGS, OFF)
    assert not wrong, "; ".join(wrong)


def test_settings_that_the_image_makes(shell):
    wrong = settings(shell, MORE_SETTINGS, MORE_OFF)
    assert not wrong, "; ".join(wrong)


def test_no_setuid_file(shell):
    rows = control.mounts(shell)
    places = sorted({one.place for one in rows if one.kind not in judge.KERNELS_OWN})
    assert "/" in places, f"the root is of a kind that holds no files: {', '.join(sorted({one.kind for one in rows}))}"
    found = control.search(shell, SETUID, places, "echo x >s && chmod 4755 s")
    assert not found, f"whoever runs these has another user's rights: {', '.join(found)}"


def test_modules_are_signed(shell, image):
    data = image.initrd.read_bytes()
    first = data[: data.index(b"root.squashfs\0")]
    assert first.count(SIGNED) == len([name for name in judge.cpio_names(first) if name.endswith(".ko")])
    unsigned = control.search(shell, UNSIGNED, ["/"], "echo x >unsigned.ko")
    assert not unsigned, f"not signed: {', '.join(unsigned)}"
