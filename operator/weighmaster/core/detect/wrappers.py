"""Programs that run the command they are given: as words, or as a string for a shell."""

import re

from weighmaster.core.detect.environment import Environment

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "rbash"})

WRAPPERS = frozenset(
    {
        "env", "exec", "nohup", "setsid", "nice", "ionice", "time", "timeout", "stdbuf", "sudo",
        "tini", "dumb-init", "catchsegv", "numactl", "taskset", "command", "builtin", "gosu",
        "su-exec", "unbuffer", "xvfb-run", "chrt", "prlimit", "catatonit", "s6-setuidgid", "doas",
        "setpriv", "unshare", "chroot", "nsenter", "chpst", "setuidgid", "fakeroot", "strace",
        "ltrace", "coproc", "not", "-", "bash-c",
    }
)  # fmt: skip
"""Programs that run the command that follows."""

TAKING_STRINGS = frozenset(
    {"su", "runuser", "script", "flock", "sg", "tmux", "screen", "ssh", "watch", "parallel",
     "systemd-run", "start-stop-daemon", "batch"}
)  # fmt: skip
"""Programs that may be given a command line in one word, which a shell reads."""

_TAKING_VALUE = frozenset({"-u", "--user", "-n", "-C", "--chdir", "-S", "-g", "-k", "-s", "-c"})
_VALUED = {
    "nsenter": frozenset({"-t", "--target", "-S", "-G", "--setuid", "--setgid"}),
    "setpriv": frozenset(
        {"--reuid", "--regid", "--groups", "--securebits", "--inh-caps", "--bounding-set",
         "--ambient-caps", "--pdeathsig", "--selinux-label", "--apparmor-profile"}
    ),
    "chroot": frozenset({"--userspec", "--groups"}),
    "unshare": frozenset({"-S", "-G", "-R", "-w", "--setuid", "--setgid", "--root", "--wd"}),
    "strace": frozenset({"-e", "-o", "-p", "-s", "-u"}),
}  # fmt: skip
_WITH_SUBJECT = frozenset({"gosu", "su-exec", "s6-setuidgid", "setuidgid", "chroot", "bash-c"})
"""Wrappers whose first word says as whom or where, and is no command."""

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def env_split(words: list[str], start: int) -> tuple[int, str] | None:
    """The string that ``env -S`` splits into words, and where the words after it start."""
    for index in range(start, min(len(words), start + 10)):
        word = words[index]
        if word in ("-S", "--split-string") and index + 1 < len(words):
            return index + 2, words[index + 1]
        if word.startswith("-S"):
            return index + 1, word[2:]
        if word.startswith("--split-string="):
            return index + 1, word.partition("=")[2]
        if not word.startswith("-") and "=" not in word:
            return None
    return None


def after(words: list[str], start: int, environment: Environment) -> int:
    """Where the wrapped command starts: after flags, numbers, assignments and ``--``."""
    wrapper = words[start - 1].rpartition("/")[2]
    valued = _VALUED.get(wrapper, _TAKING_VALUE)
    subject = wrapper in _WITH_SUBJECT
    while start < len(words):
        word = words[start]
        if word == "--":
            return start + 1
        if word.startswith("-") and len(word) > 1:
            start += 2 if word in valued else 1
        elif _ASSIGNMENT.match(word):
            name, _, value = word.partition("=")
            environment.assign(name, value)
            start += 1
        elif subject or word[:1].isdigit():
            start += 1
            subject = False
        else:
            break
    return start


def command_string(words: list[str], start: int) -> tuple[int, str] | None:
    """The word that a shell will read (``su USER -c 'vllm serve ...'``), and its index."""
    for index in range(start, min(len(words), start + 40)):
        word = words[index]
        if word == "--command" or (word[:1] == "-" and word[1:2] != "-" and word[-1:] == "c"):
            if index + 1 < len(words):
                return index + 1, words[index + 1]
        elif word.startswith(("--command=", "--session-command=")):
            return index, word.partition("=")[2]
    for index in range(start, min(len(words), start + 40)):
        if " " in words[index].strip():
            return index, words[index]
    return None


def shell_operand(words: list[str]) -> tuple[int, bool]:
    """Where a shell's script or file stands after its flags, and whether it is the script itself.

    The index is that of no word where the shell reads its input.
    """
    index = 0
    inline = False
    while index < len(words):
        word = words[index]
        if word in SHELLS and index == 0:  # busybox sh
            index += 1
        elif word == "--":
            return index + 1, inline
        elif word[:1] in ("-", "+") and len(word) > 1:
            index += 1
            if word[0] == "-" and word[1] != "-":
                inline = inline or "c" in word
                if "s" in word and not inline:
                    return len(words), False
            if word.endswith("o") or word in ("--rcfile", "--init-file"):
                index += 1
        else:
            break
    return index, inline
