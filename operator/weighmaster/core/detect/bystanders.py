"""Programs that load no weights themselves: tools, and what stands beside servers."""

import re

from weighmaster.core.detect.carriers import COPYING
from weighmaster.core.detect.downloaders import is_downloader
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.runtimes import is_harmless, is_server

QUIET = frozenset(
    {
        "echo", "printf", "grep", "egrep", "fgrep", "pip", "pip3", "apt", "apt-get", "apk", "yum",
        "dnf", "microdnf", "ls", "cd", "mkdir", "rm", "chmod", "chown", "ps", "pgrep", "pkill",
        "kill", "killall", "test", "[", "[[", "sed", "awk", "which", "tail", "head", "cat", "wc",
        "sort", "find", "sleep", "touch", "kubectl", "docker", "podman", "jq", "tee", "tr", "cut",
        "du", "df", "stat", "tar", "unzip", "gunzip", "export", "type", "whereis", "man", "true",
        "false", ":", "wait", "trap", "return", "exit", "let", "ulimit", "sysctl", "set",
        "conda-pack", "npm", "node", "make", "cmake", "go", "cargo", "dd", "nvidia-smi", "hash",
        "envsubst", "read", "basename", "dirname", "realpath", "sha256sum", "md5sum", "unset",
        "update-alternatives",
    }
)  # fmt: skip
"""Programs whose words are not commands, whatever they say."""

_BUILDING = frozenset({"docker", "podman", "npm", "node", "make", "go", "cargo"})
"""Those of them that may run what a file says that nobody sees."""

_TOOLS = frozenset(
    {
        "alias", "unalias", "gawk", "mawk", "nawk", "getent", "hostname", "id", "whoami", "uname",
        "date", "printenv", "base64", "uuidgen", "ssh-keygen", "ssh-keyscan", "lscpu", "nproc",
        "free", "expr", "seq", "cmp", "diff", "patch", "ldconfig", "useradd", "groupadd", "usermod",
        "mount", "umount", "modprobe", "ip", "ifconfig", "ping", "nc", "gcc", "g++", "cc", "nvcc",
        "ninja", "dpkg", "rpm", "file", "strings", "comm", "uniq", "od", "xxd", "top", "lsof", "ss",
        "netstat", "dig", "nslookup", "rsync", "gzip", "zstd", "xz", "bzip2", "7z", "openssl",
        "mktemp", "sync", "shift", "local", "declare", "pushd", "popd", "break", "continue", "jobs",
        "disown", "fg", "bg", "umask", "shopt", "getopts", "source", ".", "chgrp", "split", "paste",
        "nvidia-cuda-mps-control", "ibv_devinfo", "ibstat", "rocm-smi", "xpu-smi", "neuron-ls",
        "service", "sshd", "jupyter", "jupyter-lab", "code-server", "nginx", "pytest", "ruff",
        "git", "git-lfs", "gpg", "locale-gen", "redis-server", "etcd", "nats-server",
        "pip", "venv", "http.server", "json.tool", "ensurepip", "compileall", "site", "torch.utils",
    }
)  # fmt: skip
"""Programs and modules that load nothing, though their words may be commands."""

_INSTALLING = frozenset(
    {"install", "create", "sync", "pip", "env", "update", "upgrade", "config", "info", "list",
     "add", "init", "venv", "clean", "shell.bash", "activate", "lock", "python"}
)  # fmt: skip
_PACKAGES = frozenset({"conda", "mamba", "micromamba", "uv", "poetry", "pipx", "pixi", "pdm"})
_BESIDE = re.compile(
    r"(?:\A|[-_.])(?:master|store|kvstore|discovery|coordinator|planner|lmcache|ray|dashboard|epp|"
    r"mooncake|mps|nixl|ucx|probe|health|healthcheck|check|wait|monitor|notebook|tests?)(?:\Z|[-_.])"
)


def is_bystander(invocation: Invocation) -> bool:
    """Whether a program loads no weights, by its name: a tool, or what stands beside servers.

    A program whose name is a variable is a command that cannot be read (``opaque``), not this.
    """
    program = invocation.program
    if program in _BUILDING:
        return False
    if program in _PACKAGES:
        return any(word in _INSTALLING for word in invocation.words[:4])
    return (
        program in QUIET
        or program in COPYING
        or program in _TOOLS
        or is_downloader(program)
        or is_server(program)
        or is_harmless(program)
        or bool(_BESIDE.search(program))
        or program[:1] in ("$", "")
    )
