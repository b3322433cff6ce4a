"""One batch, before any work: what can be tuned at all, and how. Whatever is refused is refused
here, with the module, the operation and what to do instead; exceptions of user code pass with their
own traceback and a note of where they happened."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.overrides import TorchFunctionMode

from . import trees
from .errors import ModelError
from .net import Net, Tensor
from .seeds import mix, one_at_a_time, seeded, states, used
from .state import State

if TYPE_CHECKING:
    from .oracle import Oracle

HALF = (torch.float16, torch.bfloat16)
PROBE = 7  # what a seed is drawn for
# The two ways compute the same number by different roundings; more apart than this, one is wrong.
AGREE = {torch.float32: 2e-2, torch.float64: 1e-8}
TRACED = (FakeTensor, FunctionalTensor)  # torch.compile draws a graph: no values to look at
MASKS = ("full", "full_like", "new_full", "fill_", "masked_fill", "masked_fill_")  # -inf is fine
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
                "conv_transpose3d")  # fmt: skip
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")


def check_parameters(net: Net, tensors: list[Tensor]) -> tuple[torch.dtype, torch.device]:
    """The one type and the one device of the trainable parameters."""
    if not net.slots:
        raise ModelError(f"{net.name}: no parameter with requires_grad=True, nothing to train")
    for s in net.slots:
        p = s.value
        if p.dtype in HALF:
            raise ModelError(
                f"{s.name}: {p.dtype}; hypergradients in half precision lose their digits in the "
                "walk back, use module.float()"
            )
        if p.dtype not in AGREE:
            raise ModelError(f"{s.name}: {p.dtype}; parameters are float32 or float64")
        if p.device.type == "meta" or p.layout != torch.strided:
            raise ModelError(f"{s.name}: on {p.device}, {p.layout}; needs dense values in memory")
        if p.dim() > 6:
            raise ModelError(f"{s.name}: {p.dim()} dimensions; at most 6")
    for what in ("dtype", "device"):
        first = net.slots[0]
        for s in net.slots:
            a, b = getattr(first.value, what), getattr(s.value, what)
            if a != b:
                raise ModelError(f"{s.name}: {b}, but {first.name}: {a}; one {what} for all")
    return net.slots[0].value.dtype, net.slots[0].value.device


class Watch(TorchFunctionMode):
    """Notes, for every torch function of a pass, where it ran and what it gave."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.path = module, [""]
        self.last = ("", "")  # the function under way: (module path, name)
        self.failed: tuple[str, str] | None = None
        self.bad: tuple[str, str] | None = None  # the first result with NaN or Inf
        self.half: tuple[str, str, torch.dtype] | None = None
        self.names: set[str] = set()
        self.made_by: dict[Any, tuple[str, str]] = {}  # autograd node -> who made it
        self.walked: set[Any] = set()
        self.hooks: list[Any] = []

    def __enter__(self) -> Watch:
        for path, m in self.module.named_modules():
            self.hooks.append(m.register_forward_pre_hook(self._enter(path)))
            self.hooks.append(m.register_forward_hook(self._leave))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for h in self.hooks:
            h.remove()

    def _enter(self, path: str):
        def hook(module: nn.Module, args: Any) -> None:
            self.path.append(path)

        return hook

    def _leave(self, module: nn.Module, args: Any, out: Any) -> None:
        self._note(out, None)
        self.path.pop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", str(func))
        if name in ("__get__", "__set__"):
            return func(*args, **(kwargs or {}))
        try:
            out = func(*args, **(kwargs or {}))
        except Exception:
            self.failed = self.failed or (self.path[-1], name)
            raise
        self.names.add(name)
        self._note(out, name)
        return out

    def inside(self) -> tuple[str, str] | None:
        """The module that an exception has left, where no torch function was to blame."""
        path = self.path[-1]
        return (path, type(self.module.get_submodule(path)).__name__) if path else None

    def _note(self, out: Any, name: str | None) -> None:
        """The result of function `name`, or of a module: custom functions are seen only there."""
        for t in trees.leaves(out):
            if not isinstance(t, torch.Tensor) or t.is_meta or isinstance(t, TRACED):
                continue
            at = (self.path[-1], name or "?")
            with torch._C.DisableTorchFunction():
                if t.dtype in HALF and self.half is None:
                    self.half = (*at, t.dtype)
                if self.bad is None and t.is_floating_point() and not t.isfinite().all():
                    if name not in MASKS:
                        self.bad = at
                if name and t.grad_fn is not None:
                    self.made_by.setdefault(t.grad_fn, at)
                self._claim(t.grad_fn)

    def _claim(self, node: Any) -> None:
        """What was made on the way there is of the same module, and goes by its own name."""
        todo = [node]
        while todo:
            n = todo.pop()
            if n is None or n in self.walked:
                continue
            self.walked.add(n)
            kind = _kind(n).rstrip("0123456789").removesuffix("Backward")
            self.made_by.setdefault(n, (self.path[-1], kind))
            todo += [x for x, _ in n.next_functions]


def probe(oracle: Oracle, seed: int, frozen: bool, product: str) -> None:
    """Runs one batch through everything that a study does and fills the oracle's findings in."""
    o, net = oracle, oracle.net
    o.noise, o.attention, o.forward = frozenset(), False, False
    o.recurrent = any(isinstance(m, nn.RNNBase) for m in net.module.modules())
    o.state = State(net, {}, frozen)
    o.per_example, o.loss_dtype = False, None
    w = torch.zeros(o.size, dtype=o.dtype, device=o.device)
    o.start(seed, w)
    batch = o.fetch(seed, 0)
    before = {n: b[k].detach().clone() for n, (b, k) in net.buffers.items()}
    try:
        loss, watch = _first_pass(o, w, batch)
        after = {n: b[k].detach().clone() for n, (b, k) in net.buffers.items()}
        changed = [n for n in before if not trees.same(before[n], after[n])]
        o.attention = _attends(watch)
        _check_replay(o, w, batch, loss, before, changed)
        o.noise |= _evaluation_noise(o, w, batch)
    finally:
        _set(net, before)
    o.state = State(net, {n: after[n] - before[n] for n in changed}, frozen)
    _check_state(o, w, batch, changed)
    _check_gradient(o, w, batch)
    convolves = bool(watch.names.intersection(CONVOLUTIONS))
    convolves = convolves and not o.attention and not watch.names.intersection(NORMS)
    o.forward = _choose(o, w, batch, product, convolves)
    _say(o, frozen)
    o.start(seed, w)


def _attends(watch: Watch) -> bool:
    """Whether there is attention. Functions that call it are one function to a watch, such as that
    of nn.MultiheadAttention; the graph shows what they did."""
    named = any("dot_product_attention" in n or "multi_head_attention" in n for n in watch.names)
    return named or any("ScaledDotProduct" in node.name() for node in watch.made_by)


def _set(net: Net, values: dict[str, torch.Tensor]) -> None:
    for n, v in values.items():
        owner, key = net.buffers[n]
        owner[key] = v.clone()


def _where(at: tuple[str, ...]) -> str:
    return f"module {at[0]!r}, operation {at[1]}" if at[0] else f"operation {at[1]}"


@contextmanager
def _noted(watch: Watch, batch: Any):
    """Says where an exception of user code happened; the exception stays what it is."""
    try:
        yield
    except Exception as e:
        devices = sorted({str(t.device) for t in trees.leaves(batch) if hasattr(t, "device")})
        at = watch.failed or watch.inside() or ("", "loss_fn")
        e.add_note(f"drmad: in the probe's one batch, {_where(at)}; batch on {', '.join(devices)}")
        raise


def _first_pass(o: Oracle, w: torch.Tensor, batch: Any) -> tuple[float, Watch]:
    """A watched pass in training mode; what draws random numbers is found on the way."""
    watch, kept = Watch(o.net.module), w.clone()
    params = o.split(w, leaf=True)
    with seeded(mix(PROBE), device=o.device):
        start = states(o.device)
        with _noted(watch, batch), watch, o.surroundings(0):
            losses = o.losses(params, batch)
        o.noise |= used(start, states(o.device))
    if not torch.equal(kept, w):
        moved = [t.name for t, a, b in zip(o.tensors, o.split(kept), o.split(w))
                 if not torch.equal(a, b)]  # fmt: skip
        raise ModelError(
            f"{', '.join(moved)}: changed in place by the forward pass; compute a new tensor "
            "instead (torch.nn.utils.parametrize)"
        )
    _check_loss(o, losses, watch, batch)
    return float(losses.detach().double().mean()), watch


def _check_loss(o: Oracle, losses: Any, watch: Watch, batch: Any) -> None:
    n = trees.count(batch)
    if not isinstance(losses, torch.Tensor):
        raise ModelError(f"loss_fn: gave {type(losses).__name__}, not a tensor (no .item())")
    if losses.dtype in HALF or watch.half is not None:
        path, name, dtype = watch.half or ("", "loss_fn", losses.dtype)
        raise ModelError(
            f"{_where((path, name))}: {dtype}; autocast and half precision lose the digits of a "
            "hypergradient, compute in float32"
        )
    if losses.dtype not in AGREE:
        raise ModelError(f"loss_fn: gave {losses.dtype}, not a loss")
    o.per_example = losses.dim() == 1 and len(losses) == n
    if losses.dim() > 0 and not o.per_example:
        raise ModelError(
            f"loss_fn: gave shape {tuple(losses.shape)} for a batch of {n}; give the mean as one "
            f"number, or one loss per example, ({n},)"
        )
    if not bool(losses.detach().isfinite().all()):
        raise ModelError(
            f"loss_fn: not finite on the first batch; first in {_where(watch.bad or ('', '?'))}"
        )
    if not losses.requires_grad:
        raise ModelError(
            "loss_fn: the loss does not depend on the parameters in a way that autograd sees; "
            "no .item(), .detach(), .data or no_grad between them"
        )
    o.loss_dtype = losses.dtype


def _value(o: Oracle, w: torch.Tensor, batch: Any) -> float:
    with torch.no_grad(), o.surroundings(mix(PROBE)):
        return float(o.losses(o.split(w), batch).double().mean())


def _check_replay(o, w, batch, loss: float, before: dict, changed: list[str]) -> None:
    """The same weights, batch and seed give the same loss, and changed buffers do not matter."""
    close = 1e-4 if o.dtype == torch.float32 else 1e-9
    _set(o.net, before)
    again = _value(o, w, batch)
    if not abs(again - loss) <= close * (abs(loss) + 1):
        raise ModelError(
            f"loss_fn: gave {loss:.9g} and then {again:.9g} for the same weights, batch and seed; "
            "draw random numbers from torch's, random's or numpy.random's global generators"
        )
    for n in changed:
        if not before[n].is_floating_point():
            continue
        _set(o.net, before)
        _set(o.net, {n: before[n] * 1.5 + 0.1})
        other = _value(o, w, batch)
        if not abs(other - again) <= close * (abs(again) + 1):
            raise ModelError(
                f"buffer {n}: a training step changes it and the training loss reads it "
                f"({again:.9g} becomes {other:.9g}); such state cannot be tuned through, "
                "keep it out of the loss or make it a constant"
            )
    _set(o.net, before)


def _evaluation_noise(o: Oracle, w: torch.Tensor, batch: Any) -> set[str]:
    with torch.no_grad(), seeded(mix(PROBE), device=o.device):
        start = states(o.device)
        with o.surroundings(0) if not o.noise else torch.no_grad():
            o.losses(o.split(w), batch, training=False)
        return used(start, states(o.device))


def _check_state(o: Oracle, w: torch.Tensor, batch: Any, changed: list[str]) -> None:
    """Buffers that autograd cannot follow can only be constants."""
    state = o.state
    if not state.live or not state.others:
        return
    ins = [b.clone().requires_grad_() for b in state.before(0)]
    params = o.split(w, leaf=True)
    with o.surroundings(mix(PROBE)), state.watched(0, ins) as after:
        o.losses(params, batch)
        outs = dict(zip(state.names, after()))
    for n in state.others:
        if not _depends(outs[n], params):
            raise ModelError(
                f"buffer {n}: a training step changes it under no_grad or by .data, so what it "
                "does to the evaluation cannot be differentiated; bn='frozen' takes the state as "
                "constant, or update it where autograd sees it"
            )


def _depends(out: torch.Tensor, params: list[torch.Tensor]) -> bool:
    """Whether autograd has a way from `out` to a parameter."""
    if not out.requires_grad:
        return False
    grads = torch.autograd.grad(out.sum(), params, allow_unused=True, retain_graph=True)
    return any(g is not None for g in grads)


def _check_gradient(o: Oracle, w: torch.Tensor, batch: Any) -> None:
    params = o.split(w, leaf=True)
    with o.surroundings(mix(PROBE)), o.state.plain(0, moves=False):
        losses = o.losses(params, batch)
        grads = torch.autograd.grad(o.total(losses, None), params, allow_unused=True)
    idle = [t.name for t, g in zip(o.tensors, grads) if g is None]
    if idle:
        _check_idle(o, w, batch, idle)
        text = f"{', '.join(idle)}: no gradient on the first batch; such tensors do not move"
        o.notes.append(text)
        warnings.warn(f"drmad: {text}", stacklevel=4)
    given = [(t.name, g) for t, g in zip(o.tensors, grads) if g is not None]
    for name, g in given:
        if g.layout != torch.strided:
            raise ModelError(f"{name}: its gradient is sparse ({g.layout}); say sparse=False")
    bad = [name for name, g in given if not g.isfinite().all()]
    if bad:
        raise ModelError(f"{bad[0]}: its gradient on the first batch is not finite")


def _check_idle(o: Oracle, w: torch.Tensor, batch: Any, idle: list[str]) -> None:
    """What autograd.grad gives nothing for, loss.backward() gives nothing for either."""
    params = [p.detach().clone().requires_grad_() for p in o.split(w)]
    with o.surroundings(mix(PROBE)), o.state.plain(0, moves=False):
        o.total(o.losses(params, batch), None).backward()
    hidden = [t.name for t, p in zip(o.tensors, params) if t.name in idle and p.grad is not None]
    if hidden:
        raise ModelError(
            f"{', '.join(hidden)}: loss.backward() gives a gradient and torch.autograd.grad none, "
            "as inside torch.utils.checkpoint(..., use_reentrant=True); say use_reentrant=False"
        )


def _direction(o: Oracle) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(t.shape, generator=draw, dtype=o.dtype).to(o.device) for t in o.tensors]


def _try(o: Oracle, params: list, along: list, batch, way: str) -> list | Exception:
    """The product along a fixed direction, or what went wrong."""
    from .oracle import _Product

    ask = _Product(params, along, None, False, False)
    try:
        with o.surroundings(mix(PROBE), twice=True):
            done = (o._dual if way == "forward" else o._double)(0, batch, ask)
    except Exception as e:
        return e
    return [torch.zeros_like(w) if p is None else p.detach()
            for w, p in zip(params, done.products)]  # fmt: skip


def _choose(o: Oracle, w, batch, product: str, convolves: bool) -> bool:
    """Forward over reverse, or not. Where both work, forward mode is the faster way for bare
    convolutions (hypergradient in plain runs, LeNet, batch 64: 3.5 against 4.0), the slower one
    elsewhere (784-50-50-50-10: 1.7 ms a product against 1.1), and by far where there are norms,
    whose gradients it differentiates in small pieces (ResNet: 6.8 against 5.0, DenseNet: 8.0
    against 4.1). A rule and not a stopwatch, so that a study gives the same bits again."""
    params, along = o.split(w, leaf=True), _direction(o)
    got, failed = {}, {}
    for way in ("forward", "reverse"):
        result = _try(o, params, along, batch, way)
        if way == "reverse" and not isinstance(result, Exception):
            result = _dropped(o, w, batch) or result
        if isinstance(result, Exception):
            failed[way] = result
        else:
            got[way] = result
    if not got or product in failed:
        way = product if product != "auto" else "reverse"
        raise _blame(o, w, batch, way, failed[way])
    way = next(iter(got)) if product == "auto" else product
    if product == "auto" and len(got) == 2:
        way = "forward" if convolves else "reverse"
        if not _agree(o, got["forward"], got["reverse"]):
            o.notes.append("forward mode gives another product than reverse mode, which is used")
            way = "reverse"
    _check_differences(o, w, batch, way)
    return way == "forward"


def _dropped(o: Oracle, w, batch) -> Exception | None:
    """autograd.grad leaves out what it has no second derivative for, where the way to it ends
    there: a silently wrong product. The second graph still shows the place."""
    params = o.split(w, leaf=True)
    with o.surroundings(mix(PROBE), twice=True), o.state.plain(0, moves=False):
        total = o.total(o.losses(params, batch), None)
        grads = torch.autograd.grad(total, params, create_graph=True, allow_unused=True)
    second = _nodes(*(g.grad_fn for g in grads if g is not None))
    broken = any(_kind(n) in ("Error", "DelayedError") for n in second)
    return RuntimeError("its backward is once_differentiable") if broken else None


def _kind(node: Any) -> str:
    return node.name().rpartition("::")[2]


def _check_differences(o: Oracle, w, batch, way: str) -> None:
    """Warns where the product is not the change of the gradient: a custom backward that hides what
    it depends on, or one that is no derivative (straight-through). In double and with a tiny step,
    so that a kink of relu or max within the step is unlikely (1e-9 of the weights)."""
    try:
        with _in_double(o):
            off = _differences(o, [p.double() for p in o.split(w)], _doubled(batch), way)
    except Exception:  # code that insists on float32: nothing to compare
        return
    if off is not None:
        text = (f"{off[0]}: its second-order product is {off[1]:.0%} off the differences of its "
                "gradient; does a custom backward hide what it depends on?")  # fmt: skip
        o.notes.append(text)
        warnings.warn(f"drmad: {text}", stacklevel=5)


def _doubled(batch: Any) -> Any:
    return trees.change(lambda t: t.double() if t.is_floating_point() else t, batch)


@contextmanager
def _in_double(o: Oracle):
    kept = {n: b[k] for n, (b, k) in o.net.buffers.items()}
    floats = {n: b.double() for n, b in kept.items() if b.is_floating_point()}
    loss_dtype, o.loss_dtype = o.loss_dtype, None
    try:
        for n, b in floats.items():
            owner, key = o.net.buffers[n]
            owner[key] = b
        yield
    finally:
        o.loss_dtype = loss_dtype
        for n, b in kept.items():
            owner, key = o.net.buffers[n]
            owner[key] = b


def _differences(o: Oracle, values: list, batch: Any, way: str) -> tuple[str, float] | None:
    """The first tensor whose product is off, and how far."""
    along, ends, bar = [t.double() for t in _direction(o)], [], 1e-2
    product = _try(o, [p.clone().requires_grad_() for p in values], along, batch, way)
    if isinstance(product, Exception):
        raise product
    size = sum(float((p**2).sum()) for p in values) ** 0.5 or 1.0
    e = 1e-9 * size / sum(float((t**2).sum()) for t in along) ** 0.5
    for sign in (e, -e):
        moved = [(p + sign * t).requires_grad_() for p, t in zip(values, along)]
        with o.surroundings(mix(PROBE)), o.state.plain(0, moves=False):
            total = o.total(o.losses(moved, batch), None)
            ends.append(torch.autograd.grad(total, moved, allow_unused=True))
    most = max(float(p.norm()) for p in product)
    for t, p, a, b in zip(o.tensors, product, *ends):
        if a is None or float(p.norm()) <= 0.01 * most:
            continue
        off = float((p - (a - b) / (2 * e)).norm()) / float(p.norm())
        if off > bar:
            return t.name, off
    return None


def _agree(o: Oracle, a: list, b: list) -> bool:
    size = sum(float((x.double() ** 2).sum()) for x in b)
    off = sum(float(((x - y).double() ** 2).sum()) for x, y in zip(a, b))
    return off <= AGREE[o.dtype] ** 2 * size + 1e-30


def _blame(o: Oracle, w, batch, way: str, error: Exception) -> ModelError:
    """Which module and operation cannot be differentiated twice."""
    watch = Watch(o.net.module)
    at = None
    try:
        if way == "forward":
            with watch:
                _try(o, o.split(w, leaf=True), _direction(o), batch, way)
            at = watch.failed or watch.inside()
        else:
            at = _fault(o, w, batch, watch)
    except Exception:
        at = None
    where = _where(at) if at else f"{o.name}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    refusal = ModelError(
        f"{where}: cannot be differentiated twice ({first}); {_remedy(at, first)}"
    )
    refusal.__cause__ = error
    return refusal


def _remedy(at: tuple[str, str] | None, message: str) -> str:
    text = f"{at[1] if at else ''} {message}".lower()
    if "compile" in text or "aot_autograd" in text:
        return "call the eager function instead of the compiled one"
    if any(k in text for k in ("rnn", "lstm", "gru")):
        return "build it from cells (nn.LSTMCell, nn.GRUCell, nn.RNNCell)"
    if "once_differentiable" in text or "function" in text:
        return "write its backward in torch operations, without once_differentiable"
    return "replace the operation by one that torch differentiates twice"


def _fault(o: Oracle, w, batch, watch: Watch) -> tuple[str, str] | None:
    """Walks back twice with anomaly mode on: it ties the nodes of the second graph to those of the
    first one, and those were claimed by the operations that made them."""
    with (
        one_at_a_time,
        warnings.catch_warnings(),
        o.surroundings(mix(PROBE), twice=True),
        o.state.plain(0, moves=False),
    ):
        warnings.simplefilter("ignore")
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            params = o.split(w, leaf=True)
            with watch:
                total = o.total(o.losses(params, batch), None)
            node = _last_node(total, params)
            while node is not None and node not in watch.made_by:
                node = node.metadata.get("parent_")
    if node is None:
        return None
    return watch.made_by[node]


def _last_node(total: torch.Tensor, params: list) -> Any | None:
    """The node at which two walks back end, or would end if they went there."""
    ran: list[Any] = []
    first = _nodes(total.grad_fn)
    _record(first, ran)
    try:
        grads = torch.autograd.grad(total, params, create_graph=True, allow_unused=True)
        tops = [g for g in grads if g is not None and g.requires_grad]
        second = _nodes(*(g.grad_fn for g in tops)) - first
        for n in second:
            if _kind(n) in ("Error", "DelayedError", "NotImplemented"):
                return n
        _record(second, ran)
        torch.autograd.grad(tops, params, tops, allow_unused=True)
    except Exception:
        pass
    return ran[-1] if ran else None


def _nodes(*roots: Any) -> set:
    seen, todo = set(), list(roots)
    while todo:
        n = todo.pop()
        if n is not None and n not in seen:
            seen.add(n)
            todo += [x for x, _ in n.next_functions]
    return seen


def _record(nodes: Any, ran: list) -> None:
    """Lets each node say when it begins."""
    for n in nodes:
        n.register_prehook(lambda grads, n=n: ran.append(n))


def _say(o: Oracle, frozen: bool) -> None:
    """What a report should tell."""
    if o.net.factory is None:
        o.notes.append("start weights are those of the given module: seeds vary batches only")
    if o.state.names:
        much = f"{len(o.state.names)} buffers ({o.state.names[0]}, ...)"
        o.notes.append(
            f"running state: {much} taken as constants (bn='frozen')"
            if frozen
            else f"running state: {much} differentiated"
        )
    if o.noise:
        o.notes.append(f"random numbers ({', '.join(sorted(o.noise))}) are replayed from the seed")
    if o.recurrent:
        o.notes.append("recurrent layers run without cuDNN and oneDNN, which have no second "
                       "derivative")  # fmt: skip
    if o.attention:
        o.notes.append("attention: second-order products run on torch's math back end")
