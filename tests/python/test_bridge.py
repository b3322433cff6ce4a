"""Callbacks without the library: a stand-in in Python runs the loop through the same ctypes
callbacks. Values arrive, exceptions pass with their own traceback, Ctrl-C is a clean end and the
second one an end at once, re-entrance is refused, and a step makes no tensors."""

import ctypes
import os
import signal
import threading
import traceback

import torch
from house import main, raises

from drmad import _abi
from drmad._context import Context
from drmad.bridge import Bridge, refuse_inside
from drmad.errors import ConfigError, Interrupted, UsageError

STEPS = 30
OK, INTERRUPTED = 0, _abi.E_INTERRUPTED


class FakeLibrary:
    """The calls of model.h and study.h that the bridge makes; tune is T steps of gradient descent,
    a walk back with u = dF/dw, and one evaluation."""

    def __init__(self):
        self.tensors, self.stopped, self.freed, self.meta_steps = [], False, [], 1

    def drmad_ctx_new(self, alloc, user):
        return 7

    def drmad_ctx_free(self, ctx):
        self.freed.append("context")

    def drmad_ctx_set_log(self, ctx, log, user):
        pass

    def drmad_errmsg(self, ctx):
        return b"interrupted by signal 2" if self.stopped else b"what went wrong"

    def drmad_model_new(self, ctx, name, doubles, out):
        self.type = ctypes.c_double if doubles else ctypes.c_float
        out._obj.value = 1
        return OK

    def drmad_model_add(self, model, name, shape, rank, role, layer):
        count = 1
        for d in list(shape)[:rank]:
            count *= d
        self.tensors.append((name.decode(), count))
        return OK

    def drmad_model_offset(self, model, tensor):
        return sum((c + 15) // 16 * 16 for _, c in self.tensors[:tensor])

    def drmad_model_size(self, model):
        return self.drmad_model_offset(model, len(self.tensors))

    def drmad_model_set_data(self, model, name, train, valid, test, batch):
        self.batch = batch
        return OK

    def drmad_model_set_functions(self, model, *functions):
        self.start, self.gradient, self.product, self.evaluate, self.examples, _ = functions
        return OK

    def drmad_model_study(self, model, lines, n, out):
        self.lines = [lines[i].decode() for i in range(n)]
        out._obj.value = 2
        return OK

    def drmad_study_set_events(self, study, events, user):
        self.events = events

    def drmad_study_free(self, study):
        self.freed.append("study")

    def drmad_model_free(self, model):
        self.freed.append("model")

    def drmad_ctx_stop(self, ctx, number):
        self.stopped = True

    def drmad_study_tune(self, study, resume):
        for _ in range(self.meta_steps):
            status = self._meta_step()
            if status != OK:
                return status
        return OK

    def _meta_step(self):
        n = self.drmad_model_size(None)
        w, g, u, hu = ((self.type * n)() for _ in range(4))
        at = ctypes.addressof
        loss, error, slope = (ctypes.c_double() for _ in range(3))
        status = self.start(None, 1, at(w))
        for t in range(STEPS):
            status = status or self.gradient(None, 1, t, at(w), None, at(g), ctypes.byref(loss))
            if status:
                return status
            if self.stopped:
                return INTERRUPTED
            for i in range(n):
                w[i] -= 0.1 * g[i]
        status = self.evaluate(
            None, 1, 0, at(w), None, at(u), ctypes.byref(loss), ctypes.byref(error), None
        )
        for t in reversed(range(STEPS)):
            rows = (self.type * self.batch)()
            status = status or self.product(
                None, 1, t, at(w), at(u), None, 0, None, at(hu), at(rows)
            )
        numbers = (ctypes.c_int32 * self.batch)()
        status = status or self.examples(None, 1, 0, numbers)
        self.final, self.loss, self.numbers = list(w), loss.value, list(numbers)
        self.events(None, b"tuning", 1.0, 1.0, b'{"event": "meta-step"}')
        return status


class ToyOracle:
    """L = 1/2 |w - 3|^2 over two tensors, one of which is padded."""

    name, dtype, batch, sizes = "Toy", torch.float64, 4, (8, 4, 0)
    tensors = [("a", (2, 3), "weight", 0), ("b", (5,), "bias", 0)]

    def __init__(self):
        self.seen, self.do = set(), {}

    def lay_out(self, offsets, size):
        self.where = [(o, o + (6, 5)[i]) for i, o in enumerate(offsets)]
        self.size = size

    def _act(self, what, step=None):
        action = self.do.get((what, step), self.do.get(what))
        if action:
            action()

    def start(self, seed, w):
        self._act("start")
        w.zero_()

    def gradient(self, seed, step, w, weights, g):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        self._act("gradient", step)
        self.seen.add(id(w))
        for a, b in self.where:
            g[a:b] = w[a:b] - 3
        return 0.5 * float((g**2).sum())

    def product(self, seed, step, w, u, weights, forward, g, hu, rows):
        self._act("product", step)
        assert weights is None and g is None and rows.numel() == self.batch and not forward
        hu.copy_(u)

    def evaluate(self, part, examples, w, u, dw):
        self._act("evaluate")
        assert u is None and part == 1
        for a, b in self.where:
            dw[a:b] = w[a:b] - 3
        return 0.25, None, None

    def examples(self, seed, step, out):
        assert out.dtype == torch.int32
        out.copy_(torch.arange(self.batch))


def opened(oracle=None, **more):
    lib, oracle = FakeLibrary(), oracle or ToyOracle()
    bridge = Bridge(Context(lib=lib), oracle, **more)
    bridge.study(["train.steps=30"])
    return lib, oracle, bridge


def values_arrive():
    lib, oracle, bridge = opened()
    assert lib.lines == ["train.steps=30"] and oracle.size == 32 and oracle.where[1][0] == 16
    bridge.call("tune", 0)
    want = 3 * (1 - 0.9**STEPS)
    assert all(abs(lib.final[i] - want) < 1e-12 for i in (0, 5, 16, 20))
    assert lib.final[6] == 0 and lib.final[31] == 0, "gaps stay zero"
    assert lib.loss == 0.25 and lib.numbers == [0, 1, 2, 3]
    bridge.close()
    bridge.close()
    assert lib.freed == ["study", "model"], lib.freed


def a_step_makes_no_views():
    lib, oracle, bridge = opened()
    bridge.call("tune", 0)
    assert len(oracle.seen) == 1, "the same memory is the same tensor"


def calls_work_without_autograd_around():
    _, _, bridge = opened()
    with torch.no_grad():
        bridge.call("tune", 0)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        bridge.call("tune", 0)


class Own(Exception):
    pass


def user_trips_here():
    raise Own("in user code")


def exceptions_keep_their_traceback():
    for what in ("start", ("gradient", 7), ("product", 20), "evaluate"):
        _, oracle, bridge = opened()
        oracle.do[what] = user_trips_here
        e = raises(Own, "in user code", lambda b=bridge: b.call("tune", 0))
        names = [f.name for f in traceback.extract_tb(e.__traceback__)]
        assert names[-1] == "user_trips_here", names
        oracle.do.clear()
        bridge.call("tune", 0)  # and the bridge still works


def exits_pass_too():
    def leave():
        raise SystemExit(3)

    _, oracle, bridge = opened()
    oracle.do["gradient", 2] = leave
    assert raises(SystemExit, "3", lambda: bridge.call("tune", 0)).code == 3


def library_errors_come_without_callbacks():
    lib, _, bridge = opened()
    lib.drmad_study_tune = lambda study, resume: 3
    raises(ConfigError, "what went wrong", lambda: bridge.call("tune", 0))


def failing_constructors_leave_nothing():
    class Bad(ToyOracle):
        def lay_out(self, offsets, size):
            raise Own("no room")

    lib = FakeLibrary()
    raises(Own, "no room", lambda: Bridge(Context(lib=lib), Bad()))
    assert lib.freed[0] == "model"


def first_ctrl_c_is_a_clean_end():
    before = signal.getsignal(signal.SIGINT)
    lib, oracle, bridge = opened()
    oracle.do["gradient", 5] = lambda: os.kill(os.getpid(), signal.SIGINT)
    e = raises(Interrupted, "interrupted", lambda: bridge.call("tune", 0))
    assert isinstance(e, KeyboardInterrupt) and lib.stopped
    assert signal.getsignal(signal.SIGINT) is before, "the handler was put back"


def second_ctrl_c_ends_at_once():
    lib, oracle, bridge = opened()

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100000))
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100000))
        raise AssertionError("not reached")

    oracle.do["gradient", 5] = twice
    e = raises(KeyboardInterrupt, "", lambda: bridge.call("tune", 0))
    assert not isinstance(e, Interrupted)


def other_threads_leave_signals_alone():
    _, _, bridge = opened()
    failed = []

    def work():
        try:
            bridge.call("tune", 0)
        except BaseException as e:
            failed.append(e)

    before = signal.getsignal(signal.SIGINT)
    t = threading.Thread(target=work)
    t.start()
    t.join()
    assert not failed and signal.getsignal(signal.SIGINT) is before


def re_entrance_is_refused():
    _, oracle, bridge = opened()
    _, _, other = opened()
    oracle.do["gradient", 3] = lambda: other.call("tune", 0)
    raises(UsageError, "drmad.tune: called inside loss_fn", lambda: bridge.call("tune", 0))
    refuse_inside("drmad.tune")  # and over again outside


def progress_that_fails_does_not_end_a_run():
    class Broken:
        def tick(self, what, step):
            pass

        def event(self, *args):
            raise BrokenPipeError

    _, _, bridge = opened(progress=Broken())
    bridge.call("tune", 0)


TESTS = (
    values_arrive,
    a_step_makes_no_views,
    calls_work_without_autograd_around,
    exceptions_keep_their_traceback,
    exits_pass_too,
    library_errors_come_without_callbacks,
    failing_constructors_leave_nothing,
    first_ctrl_c_is_a_clean_end,
    second_ctrl_c_ends_at_once,
    other_threads_leave_signals_alone,
    re_entrance_is_refused,
    progress_that_fails_does_not_end_a_run,
)

if __name__ == "__main__":
    main({f.__name__: f for f in TESTS})
