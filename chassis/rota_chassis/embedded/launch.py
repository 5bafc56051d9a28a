"""Becomes another program that dies with its parent, as another user when told to.

Run as a script by a bare interpreter, which then execs: what must happen between fork and exec happens in a process of
its own, so that a parent with threads stays safe.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID:GID|- PROGRAM [ARGUMENT...]

A program that changes user keeps CAP_DAC_OVERRIDE (Linux, capabilities(7), "ambient"), since the interpreter's and the
data's folders may lie below a folder that only root can enter; access(2) honours it only under SECBIT_NO_SETUID_FIXUP.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1


def _change_user(uid: int, gid: int, libc: ctypes.CDLL | None) -> None:
    if libc is not None:
        libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc is not None:
        mask = 1 << _CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if libc.capset(header, effective_permitted_inheritable) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    """Never returns: execs, or exits with a sentence on standard error."""
    parent, death_signal, user, program = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3:]
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    try:
        if user != "-":
            uid, _, gid = user.partition(":")
            _change_user(int(uid), int(gid), libc)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)  # last: a change of user clears it
        if os.getppid() != parent:
            sys.exit("the parent is gone")
        os.execv(program[0], program)  # noqa: S606 (the caller's own program)
    except OSError as error:
        sys.exit(f"cannot run {program[0]} as user {user}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
