"""Views of foreign memory as tensors: the very bytes, no leak, no Python where none can be."""

import ctypes
import gc
import threading
import time
import weakref

import torch
from house import main, raises

from drmad import _memory
from drmad._memory import tensor

CASES = (
    (ctypes.c_int32, torch.int32),
    (ctypes.c_float, torch.float32),
    (ctypes.c_double, torch.float64),
)


def resident() -> int:
    """Bytes of memory of this process that lie in RAM."""
    with open("/proc/self/statm") as f:
        return 4096 * int(f.read().split()[1])


def a_view_is_the_memory_itself():
    for kind, dtype in CASES:
        memory = (kind * 5)(1, 2, 3, 4, 5)
        for _ in range(2):  # new, then from a kept block
            t = tensor(ctypes.addressof(memory), 5, dtype)
            assert t.dtype == dtype and t.shape == (5,) and t.is_contiguous()
            assert t.data_ptr() == ctypes.addressof(memory) and t.device.type == "cpu"
            assert not t.requires_grad and t.tolist() == [1, 2, 3, 4, 5]
        t[1:3].mul_(10)
        assert list(memory) == [1, 20, 30, 4, 5]
        memory[0] = 7
        assert t[0] == 7


def bad_arguments_are_refused():
    raises(ValueError, "3 elements at address None", lambda: tensor(None, 3, torch.float32))
    raises(ValueError, "-1 elements", lambda: tensor(64, -1, torch.float32))
    raises(TypeError, "float16", lambda: tensor(64, 1, torch.float16))
    assert tensor(None, 0, torch.float64).numel() == 0


def gradients_pass_through_views():
    memory = (ctypes.c_double * 3)(1, 2, 3)
    w = tensor(ctypes.addressof(memory), 3, torch.float64).requires_grad_()
    (w * w).sum().backward()
    assert w.grad.tolist() == [2, 4, 6]
    assert not tensor(ctypes.addressof(memory), 3, torch.float64).requires_grad


def a_million_views_cost_no_memory():
    memory = (ctypes.c_float * 4096)()
    address = ctypes.addressof(memory)
    for i in range(10_000):
        tensor(address, 64, torch.float32)
    before = resident()
    for i in range(500_000):
        tensor(address, 64, torch.float32)
    for i in range(500_000):  # past CACHED: a block each
        tensor(address + 4 * (i % 4000), 1 + i % 90, torch.float32)
    grown = resident() - before
    # a block is 96 bytes in malloc's terms: 48 MB if each of the second half stayed
    assert grown < 4 << 20, f"{grown} bytes more"
    assert len(_memory._blocks) <= _memory.CACHED


def what_is_kept_alive_lives_as_long_as_the_storage():
    class Owner:
        pass

    memory, owner = (ctypes.c_float * 8)(), Owner()
    seen = weakref.ref(owner)
    t = tensor(ctypes.addressof(memory), 8, torch.float32, keepalive=owner)
    part = t[2:4]
    del owner, t
    gc.collect()
    assert seen() is not None, "a part of the view is still there"
    del part
    gc.collect()
    assert seen() is None and not _memory._kept
    before = resident()
    for _ in range(100_000):
        tensor(ctypes.addressof(memory), 8, torch.float32, keepalive=memory)
    assert resident() - before < 2 << 20 and not _memory._kept


def other_threads_may_let_go():
    memory = (ctypes.c_float * 8)()
    address = ctypes.addressof(memory)
    views = [[tensor(address, 1 + i % 7, torch.float32, keepalive=memory if i % 2 else None)
              for i in range(2000)] for _ in range(4)]  # fmt: skip
    threads = [threading.Thread(target=v.clear) for v in views]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not _memory._kept


def seconds(call) -> float:
    start = time.process_time()
    for _ in range(5_000):
        call()
    return (time.process_time() - start) / 5_000


def a_view_costs_little_more_than_an_empty_tensor():
    memory = (ctypes.c_float * 64)()
    address = ctypes.addressof(memory)
    _memory._blocks.clear()
    pairs = [
        (seconds(lambda: tensor(address, 64, torch.float32)), seconds(lambda: torch.empty(64)))
        for _ in range(20)
    ]
    view, empty = (min(p[i] for p in pairs) for i in (0, 1))
    print(f"  a view {1e6 * view:.2f}, torch.empty {1e6 * empty:.2f} microseconds")
    # measured on a quiet core: 1.5 and 1.0 microseconds; the bound is for a machine shared with
    # other work
    assert view < 4 * empty, f"{1e6 * view:.2f} and {1e6 * empty:.2f} microseconds"


if __name__ == "__main__":
    main(
        {
            f.__name__: f
            for f in (
                a_view_is_the_memory_itself,
                bad_arguments_are_refused,
                gradients_pass_through_views,
                a_million_views_cost_no_memory,
                what_is_kept_alive_lives_as_long_as_the_storage,
                other_threads_may_let_go,
                a_view_costs_little_more_than_an_empty_tensor,
            )
        }
    )
