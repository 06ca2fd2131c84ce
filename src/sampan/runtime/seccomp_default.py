"""The default seccomp profile: what every container may call, and what capabilities add.

The same in meaning as Docker's (rule S11), written down by purpose. What is in no table answers EPERM, clone3 ENOSYS so
that C libraries fall back to clone, whose flags a filter can see.
"""

from __future__ import annotations

from typing import Any

from ..linux.libc import MACHINE

Rule = dict[str, Any]

_ALWAYS = {
    "processes and threads": """
        capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu
        getpeername getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid ioprio_get
        ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self map_shadow_stack
        membarrier pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall
        riscv_hwprobe rseq rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
        sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
        set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid sysinfo tgkill
        times tkill ugetrlimit umask uname uretprobe vfork wait4 waitid waitpid
    """,
    "identity": """
        getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
        getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
        setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
        setreuid32 setuid setuid32
    """,
    "signals": """
        alarm eventfd eventfd2 pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
        rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack signalfd signalfd4 sigprocmask
        sigreturn
    """,
    "memory": """
        brk futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake madvise memfd_create
        memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall
        munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages shmat shmctl shmdt shmget
    """,
    "time": """
        adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
        clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
        time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
        timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
    """,
    "waiting for events": """
        _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
        epoll_wait_old fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
        io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll
        ppoll_time64 pselect6 pselect6_time64 select
    """,
    "interprocess communication": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
        mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop
        semtimedop_time64
    """,
    "sockets": """
        accept accept4 bind connect getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
        recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    """,
    "files and directories": """
        _llseek access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2
        dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
        fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
        fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
        getrandom getxattr getxattrat ioctl lchown lchown32 lgetxattr link linkat listmount listxattr
        listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
        read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir
        sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink
        symlinkat sync sync_file_range syncfs tee truncate truncate64 unlink unlinkat utime utimensat
        utimensat_time64 utimes vmsplice write writev
    """,
}

# Safe since Linux 4.8, where a tracer can no longer get around the filter (seccomp(2), NOTES).
_TRACING = "process_vm_readv process_vm_writev ptrace"

_BY_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "riscv64": "riscv_flush_icache",
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}

_BY_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "s390x": ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
}

# socket(2) families: all but AF_ALG (38) and AF_VSOCK (40), whose kernel code has a record of holes.
_SOCKET_FAMILIES = ((38, "SCMP_CMP_LT"), (39, "SCMP_CMP_EQ"), (40, "SCMP_CMP_GT"))

# personality(2): Linux, 32-bit Linux, each with or without UNAME26, and the question for the present one.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* that clone(2) takes."""

_ENOSYS = 38


def _allow(names: str) -> Rule:
    return {"names": names.split(), "action": "SCMP_ACT_ALLOW"}


def _allow_if(name: str, index: int, value: int, operator: str, second: int = 0) -> Rule:
    compare = {"index": index, "value": value, "op": operator}
    if second:
        compare["valueTwo"] = second
    return {**_allow(name), "args": [compare]}


def profile(capabilities: list[str]) -> dict[str, Any]:
    """The OCI `linux.seccomp` for a container with these capabilities (bounding set)."""
    rules = [_allow(" ".join(_ALWAYS.values())), _allow(_TRACING)]
    rules += [_allow_if("socket", 0, family, operator) for family, operator in _SOCKET_FAMILIES]
    rules += [_allow_if("personality", 0, persona, "SCMP_CMP_EQ") for persona in _PERSONALITIES]
    if MACHINE in _BY_MACHINE:
        rules.append(_allow(_BY_MACHINE[MACHINE]))
    rules += [_allow(names) for capability, names in _BY_CAPABILITY.items() if capability in capabilities]
    if "CAP_SYS_ADMIN" not in capabilities:
        flags_index = 1 if MACHINE == "s390x" else 0  # clone(2): s390 has the arguments in another order
        rules.append(_allow_if("clone", flags_index, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ"))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": _ARCHITECTURES.get(MACHINE, []),
        "syscalls": rules,
    }


_GO_ARCHITECTURES = {
    "x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x",
}  # fmt: skip


def render(given: dict[str, Any], capabilities: list[str]) -> dict[str, Any]:
    """A profile in Docker's file format (`--security-opt seccomp=file.json`) as OCI's: conditions are decided here."""
    rendered = {
        key: given[key] for key in ("defaultAction", "defaultErrnoRet", "flags", "listenerPath") if given.get(key)
    }
    rendered["architectures"] = _architectures(given)
    rendered["syscalls"] = [
        _rendered_rule(rule) for rule in given.get("syscalls") or () if _applies(rule, capabilities)
    ]
    return rendered


def _architectures(given: dict[str, Any]) -> list[str]:
    for entry in given.get("archMap") or ():
        if entry["architecture"] == _ARCHITECTURES.get(MACHINE, [""])[0]:
            return [entry["architecture"], *(entry.get("subArchitectures") or ())]
    return list(given.get("architectures") or ())


def _rendered_rule(rule: Rule) -> Rule:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    kept = {key: rule[key] for key in ("action", "errnoRet", "args") if rule.get(key) is not None}
    return {"names": names, **kept}


def _applies(rule: Rule, capabilities: list[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    architecture = _GO_ARCHITECTURES.get(MACHINE, MACHINE)
    if architecture in (excludes.get("arches") or ()) or set(excludes.get("caps") or ()) & set(capabilities):
        return False
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    return set(includes.get("caps") or ()) <= set(capabilities)  # minKernel: every kernel that runs this is newer
