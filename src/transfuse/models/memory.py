"""Keeping the memory that torch lets go of.

Every step of training frees and takes again the same large blocks. By default the C library hands
them back to the system, which must then clear new pages for each step: on virtual machines that
takes as long as the arithmetic itself.
"""

import ctypes
import gc
import platform

__all__ = ["hold_memory", "release_memory"]

# From the C library's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def hold_memory() -> bool:
    """Let this process keep freed memory for its next allocation.

    It holds for the whole process from then on, so only a program's own start calls it.

    Returns:
        Whether it is in effect; only glibc has the switch.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER))


def release_memory() -> None:
    """Give freed memory back to the system, where the C library can: between one run and the next.

    Without it the memory of a run is still counted when the next one is measured.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
