"""Values and derivatives of a user's loss with torch: the model that the caller computes, as
include/drmad/model.h has it. Vectors are flat tensors of `size` elements over the library's memory.

A training step is plain autograd over one leaf per parameter, put into our own copy of the module.
A second-order product is one pass over the same graph, either way exact:

    forward over reverse    tangents ride along (torch.autograd.forward_ad); per-example products
                            <dl_i/dw, u> come with them
    reverse over reverse    d<g, u>/dw of a gradient with its graph

The probe (probe.py) finds out once which of the two a model allows and which is the better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import trees
from .batches import Cache, Evaluation, Training
from .errors import ConfigError, ModelError
from .net import Net, Tensor
from .seeds import mix, one_at_a_time, seeded
from .state import State

NOISE, EVALUATE = 5, 6  # what a seed is drawn for
VIEWS = 256  # vectors whose views are kept; a walk back over a full trajectory needs no more
Vector = torch.Tensor
Optional = torch.Tensor | None


class Oracle:
    """model, loss_fn: as in drmad.tune. metric(module, batch): the share of wrong answers, or one
    0/1 per example. cache_bytes: what fetched batches may take. device: where module and batches
    are moved to (None: where they are; batches follow the module). bn: "differentiated" or
    "frozen" (running statistics count as constants). product: "auto", "forward" or "reverse".

    name, dtype, tensors, sizes, batch, per_example: what the library is told. how: the way of the
    second-order products. notes: what a report should say. Raises ConfigError, DataError or
    ModelError for what cannot be tuned; exceptions of user code pass as they are."""

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss_fn: Callable[[nn.Module, Any], torch.Tensor],
        train: Any,
        valid: Any,
        test: Any = None,
        *,
        metric: Callable[[nn.Module, Any], Any] | None = None,
        seed: int = 0,
        cache_bytes: int = 1 << 30,
        device: torch.device | str | None = None,
        bn: str = "differentiated",
        product: str = "auto",
        hyper: Sequence[Any] = (),
    ) -> None:
        from . import probe

        _check_word("bn", bn, ("differentiated", "frozen"))
        _check_word("product", product, ("auto", "forward", "reverse"))
        self.loss_fn, self.metric = loss_fn, metric
        self.net = Net(model, seed, device)
        self.name, self.tensors = self.net.name, self.net.tensors()
        self.dtype, self.device = probe.check_parameters(self.net, self.tensors)
        self.cache_bytes = cache_bytes
        cache = Cache(cache_bytes)
        self.train = Training(train, cache)
        parts = [("valid", valid)] + ([("test", test)] if test is not None else [])
        self.parts: list[Training | Evaluation] = [self.train]
        self.parts += [Evaluation(n, d, cache) for n, d in parts]
        self.sizes = tuple(p.examples for p in self.parts) + (0,) * (3 - len(self.parts))
        self.batch = self.train.batch
        self._views: dict[tuple, tuple[Vector, list[Vector]]] = {}
        self._lay_out_alone()
        self.notes: list[str] = [n for p in self.parts for n in p.notes]
        probe.probe(self, seed, bn == "frozen", product)
        if any(getattr(h, "kind", None) == "example_weight" for h in hyper):
            self.need_examples()

    # What the probe fills in: see probe.Findings.
    state: State
    noise: frozenset[str]
    attention: bool
    recurrent: bool
    per_example: bool
    loss_dtype: torch.dtype | None  # None: the first batch has not been seen
    forward: bool

    @property
    def how(self) -> str:
        return "forward over reverse" if self.forward else "reverse over reverse"

    def need_examples(self) -> None:
        """ConfigError unless weights of single examples can be tuned."""
        if not self.per_example:
            raise ConfigError(
                "example weights: loss_fn gives one number a batch; let it return one loss per "
                "example, such as cross_entropy(..., reduction='none')"
            )
        if not self.train.uniform:
            raise ConfigError(
                f"example weights: the last batch of an epoch is smaller than {self.batch}; "
                "use DataLoader(..., drop_last=True)"
            )
        if not self.train.source.numbered:
            raise ConfigError(
                "example weights: train is shuffled by itself, so that nobody knows which example "
                "is which; give a DataLoader over a map-style dataset"
            )

    # ---- vectors ----

    def lay_out(self, offsets: list[int], size: int) -> None:
        """Tensor i lies at [offsets[i], offsets[i] + count_i) of vectors of `size` elements."""
        order = sorted(range(len(offsets)), key=offsets.__getitem__)
        cuts, end, at = [], 0, [0] * len(offsets)
        for i in order:
            if offsets[i] < end:
                raise ConfigError(f"layout: tensor {self.tensors[i].name} overlaps the one before")
            cuts.append(offsets[i] - end)
            at[i] = len(cuts)
            cuts.append(math.prod(self.tensors[i].shape))
            end = offsets[i] + cuts[-1]
        if end > size:
            raise ConfigError(f"layout: {end} elements in vectors of {size}")
        self.size, self._cuts, self._at = size, [*cuts, size - end], at
        self._views.clear()

    def forget(self) -> None:
        """Lets go of the vectors that were seen: their memory is given back."""
        self._views.clear()

    def _lay_out_alone(self) -> None:
        offsets, end = [], 0
        for t in self.tensors:
            offsets.append(end)
            end += math.prod(t.shape)
        self.lay_out(offsets, end)

    def split(self, v: Vector, leaf: bool = False) -> list[Vector]:
        """The tensors of a flat vector, as views; as leaves that gradients are taken in, or not."""
        key = (v.data_ptr(), leaf)
        kept = self._views.get(key)
        if kept is None:
            if len(self._views) >= VIEWS:
                self._views.clear()
            parts = v.detach().split_with_sizes(self._cuts)
            views = [parts[i].view(t.shape) for i, t in zip(self._at, self.tensors)]
            if leaf:
                views = [x.requires_grad_() for x in views]
            kept = self._views[key] = (v, views)  # v: the address stays taken
        return kept[1]

    def read(self, v: Vector, leaf: bool = False) -> list[Vector]:
        """The tensors of a flat vector where the module computes; a copy if that is elsewhere."""
        return self.split(v, leaf) if v.device == self.device else self._moved(v, leaf)

    def _moved(self, v: Vector, leaf: bool) -> list[Vector]:
        parts = v.detach().to(self.device).split_with_sizes(self._cuts)
        views = [parts[i].view(t.shape) for i, t in zip(self._at, self.tensors)]
        return [x.requires_grad_() for x in views] if leaf else views

    def join(self, out: Vector, values: Sequence[Optional]) -> None:
        """Writes one value per tensor into a flat vector; None is zero."""
        views = self.split(out)
        given = [v.detach() for v in values if v is not None]
        if len(given) == len(views):
            torch._foreach_copy_(views, given)
            return
        for view, v in zip(views, values):
            view.zero_() if v is None else view.copy_(v.detach())

    def _here(self, weights: Optional) -> Optional:
        return weights if weights is None else weights.to(self.device)

    # ---- one step ----

    def start(self, seed: int, w: Vector) -> None:
        """w = the start weights of the run with `seed`; the state is as before any step."""
        with torch.no_grad():
            self.join(w, self.net.restart(seed))
        self.state.restart()

    def surroundings(self, seed: int, twice: bool = False) -> ExitStack:
        """What a pass runs in: seeded generators, and back ends that can be differentiated `twice`.
        Fused attention serves a gradient as well, unless its dropout would draw other masks; then
        too it must not run while another thread has switched it off."""
        stack = ExitStack()
        if self.attention or self.recurrent:
            stack.enter_context(one_at_a_time)
        if self.noise:
            stack.enter_context(seeded(seed, self.noise, self.device))
        if self.attention and (twice or self.noise):
            stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        if self.recurrent:
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
            stack.enter_context(_without_onednn())
        return stack

    def fetch(self, seed: int, step: int) -> Any:
        batch = self.train.fetch(seed, step)
        return batch if self.device.type == "cpu" else trees.to(batch, self.device)

    def losses(self, values: list[Vector], batch: Any, training: bool = True) -> torch.Tensor:
        """What loss_fn gives with `values` in the place of the parameters."""
        self.net.put(values)
        losses = self.loss_fn(self.net.mode(training), batch)
        if self.loss_dtype is not None:
            self._check_loss(losses, trees.count(batch), training)
        return losses

    def _check_loss(self, losses: Any, n: int, training: bool) -> None:
        """ModelError for what the probe's one batch did not show."""
        if not isinstance(losses, torch.Tensor) or losses.dim() > 1:
            what = tuple(losses.shape) if isinstance(losses, torch.Tensor) else type(losses)
            raise ModelError(f"loss_fn: gave {what} in the middle of a run, not a loss as before")
        if losses.dim() == 1 and len(losses) != n:
            raise ModelError(
                f"loss_fn: gave {len(losses)} losses for a batch of {n} in the middle of a run; "
                "give their mean as one number, or one loss per example"
            )
        if not losses.is_floating_point() or losses.requires_grad < torch.is_grad_enabled():
            raise ModelError(
                "loss_fn: in the middle of a run the loss does not depend on the parameters "
                f"({losses.dtype}, requires_grad={losses.requires_grad})"
            )
        known = (self.loss_dtype,) if training else (torch.float32, torch.float64)
        if losses.dtype not in known:
            raise ModelError(
                f"loss_fn: gave {losses.dtype} in the middle of a run, and {self.loss_dtype} on "
                "the first batch; hypergradients need one precision throughout"
            )

    @staticmethod
    def total(losses: torch.Tensor, weights: Optional) -> torch.Tensor:
        """1/B sum_i v_i l_i."""
        if weights is None:
            return losses if losses.dim() == 0 else losses.mean()
        if losses.dim() == 0:
            raise ModelError("example weights: loss_fn gave one number, not one loss per example")
        if losses.shape != weights.shape:
            raise ConfigError(
                f"example weights: a batch of {losses.shape[0]} examples for {len(weights)} "
                "weights; use DataLoader(..., drop_last=True)"
            )
        return torch.dot(losses, weights) / len(losses)

    def gradient(self, seed: int, step: int, w: Vector, weights: Optional, g: Vector) -> float:
        """g = dL/dw with example weights v = `weights` [B], or 1; gives L with v = 1."""
        batch, params = self.fetch(seed, step), self.read(w, leaf=True)
        with self.surroundings(mix(seed, step, NOISE)), self.state.plain(step):
            losses = self.losses(params, batch)
            total = self.total(losses, self._here(weights))
            grads = torch.autograd.grad(total, params, allow_unused=True)
        self.join(g, grads)
        value = losses.detach()
        return float(value if value.dim() == 0 else value.mean())

    def product(
        self,
        seed: int,
        step: int,
        w: Vector,
        u: Vector,
        weights: Optional,
        forward: bool,
        g: Optional,
        hu: Vector,
        rows: Optional,
    ) -> None:
        """hu = (d2L/dw dw) u, with the part of the state (state.py) on the way back; g = dL/dw;
        rows[i] = <dl_i/dw, u>/B. `forward`: steps ascend and u is the tangent of w."""
        batch = self.fetch(seed, step)
        weights = self._here(weights)
        ask = _Product(self.read(w, leaf=True), self.read(u), weights, forward, rows is not None)
        with self.surroundings(mix(seed, step, NOISE), twice=True):
            done = (self._dual if self.forward else self._double)(step, batch, ask)
        if g is not None:
            self.join(g, done.grads)
        self.join(hu, done.products)
        if rows is not None:
            rows.copy_(done.rows)

    def aside(self):
        """A context whose products leave the state out."""
        return self.state.aside()

    def _dual(self, step: int, batch: Any, ask: _Product) -> _Done:
        """Forward over reverse. On the way back the state's cotangent rides on the same pass: of
        L + e <r~, s> the gradient's tangent in e is (ds/dw)' r~."""
        state = self.state
        pull = state.cotangent if state.live and not ask.forward else None
        push = state.live and ask.forward
        with one_at_a_time, forward_ad.dual_level(), ExitStack() as stack:
            duals = [forward_ad.make_dual(p, t) for p, t in zip(ask.params, ask.along)]
            ins = [b.clone().requires_grad_() for b in state.before(step)] if pull or push else []
            if push and state.tangent:
                ins = [forward_ad.make_dual(b, t) for b, t in zip(ins, state.tangent)]
            if not ins:
                stack.enter_context(state.plain(step, moves=ask.forward))
            after = stack.enter_context(state.watched(step, ins)) if ins else None
            losses = self.losses(duals, batch)
            value = self.total(losses, ask.weights)
            outs = after() if after else []
            if pull:
                value = value + sum(
                    (forward_ad.make_dual(torch.zeros_like(c), c) * o).sum()
                    for c, o in zip(pull, outs)
                )
            grads = torch.autograd.grad(value, duals + (ins if pull else []), allow_unused=True)
            parts = [forward_ad.unpack_dual(x) if x is not None else (None, None) for x in grads]
            rows = forward_ad.unpack_dual(losses).tangent if ask.rows else None
            moved = [forward_ad.unpack_dual(o) for o in outs] if push else []
        self._carry(step, pull, [t for _, t in parts[len(duals) :]], moved)
        n = len(duals)
        if ask.rows:
            rows = losses.new_zeros(len(losses)) if rows is None else rows.detach() / len(losses)
        return _Done([p for p, _ in parts[:n]], [t for _, t in parts[:n]], rows)

    def _carry(self, step: int, pull: list | None, back: list, moved: list) -> None:
        """Hands the state's cotangent to the step before, or its tangent to the step after."""
        state = self.state
        if pull:
            none = zip(pull, back)
            new = [torch.zeros_like(c) if t is None else t.detach() for c, t in none]
            state.receive(new, start=False)
        if moved:
            state.advance(step, [p for p, _ in moved])
            state.tangent = [torch.zeros_like(p) if t is None else t.detach() for p, t in moved]

    def _double(self, step: int, batch: Any, ask: _Product) -> _Done:
        """Reverse over reverse."""
        state, params = self.state, ask.params
        pull = state.cotangent if state.live and not ask.forward else None
        push = state.live and ask.forward
        ins = [b.clone().requires_grad_() for b in state.before(step)] if pull or push else []
        with ExitStack() as stack:
            if not ins:
                stack.enter_context(state.plain(step, moves=ask.forward))
            after = stack.enter_context(state.watched(step, ins)) if ins else None
            losses = self.losses(params, batch)
            outs = after() if after else []
            weights = _weight_leaf(losses, ask.weights) if ask.rows else ask.weights
            value = self.total(losses, weights)
            grads = torch.autograd.grad(value, params, create_graph=True, allow_unused=True)
        heads = [(x, t) for x, t in zip(grads, ask.along) if x is not None and x.requires_grad]
        heads += [(o, c) for o, c in zip(outs, pull or []) if o.requires_grad]
        wanted = [*params, *(ins if pull else []), *([weights] if ask.rows else [])]
        got: Sequence[Optional] = [None] * len(wanted)
        if heads:
            tops, cots = zip(*heads)
            got = torch.autograd.grad(tops, wanted, cots, allow_unused=True, retain_graph=push)
        n = len(params)
        moved = []
        if push:
            tangents = _tangents(outs, [*params, *ins], [*ask.along, *(state.tangent or [])])
            moved = list(zip([x.detach() for x in outs], tangents))
        self._carry(step, pull, list(got[n : n + len(ins)]), moved)
        rows = None
        if ask.rows:
            rows = torch.zeros_like(losses) if got[-1] is None else got[-1]
        return _Done(list(grads), list(got[:n]), rows)

    def examples(self, seed: int, step: int, out: torch.Tensor) -> None:
        """The numbers of the step's training examples, int32 [B]."""
        out.copy_(torch.tensor(self.train.numbers(seed, step), dtype=torch.int32))

    # ---- evaluation ----

    def evaluate(
        self, part: int, examples: int, w: Vector, u: Optional, dw: Optional
    ) -> tuple[float, float, float]:
        """(mean loss, share of wrong answers or NaN, slope along `u` and the state's tangent or
        NaN) over the first `examples` (0: all) of part 0, 1 or 2; dw = dF/dw unless None."""
        if not 0 <= part < len(self.parts):
            raise ConfigError(f"evaluate: there is no part {part} of the data")
        derive = u is not None or dw is not None
        params = self.read(w, leaf=derive)
        sums = _Sums(_doubles(params) if derive else [])
        with ExitStack() as stack:
            ins: list[Vector] = []
            if derive and self.state.live:
                ins = stack.enter_context(self.state.evaluating())
            if not derive:
                stack.enter_context(torch.no_grad())
            sums.state = _doubles(ins)
            for i, batch in enumerate(self._first(part, examples)):
                with self.surroundings(mix(part, i, EVALUATE)):
                    self._add(sums, params, ins, batch)
        n = sums.count
        if dw is not None:
            self.join(dw, [x / n for x in sums.grads])
            if ins:
                self.state.receive([(x / n).to(self.dtype) for x in sums.state], start=True)
        slope = self._slope(sums, u) if u is not None else math.nan
        return sums.loss / n, sums.wrong / n if self.metric else math.nan, slope

    def _first(self, part: int, examples: int):
        left = examples if examples > 0 else math.inf
        for batch in self.parts[part].in_order():
            n = trees.count(batch)
            if n > left:
                batch, n = trees.head(batch, int(left)), int(left)
            yield batch if self.device.type == "cpu" else trees.to(batch, self.device)
            left -= n
            if left <= 0:
                return

    def _add(self, sums: _Sums, params: list[Vector], ins: list[Vector], batch: Any) -> None:
        n = trees.count(batch)
        losses = self.losses(params, batch, training=False)
        mean = losses.double().mean()
        sums.count += n
        sums.loss += n * float(mean.detach())
        if sums.grads:
            got = torch.autograd.grad(mean, [*params, *ins], allow_unused=True)
            for into, x in zip([*sums.grads, *sums.state], got):
                if x is not None:
                    into.add_(x, alpha=n)
        if self.metric:
            with torch.no_grad():
                wrong = torch.as_tensor(self.metric(self.net.mode(False), batch))
            sums.wrong += n * float(wrong.double().mean())

    def _slope(self, sums: _Sums, u: Vector) -> float:
        pairs = list(zip(sums.grads, self.read(u)))
        pairs += list(zip(sums.state, self.state.tangent or []))
        return sum(float(torch.sum(x * t)) for x, t in pairs) / sums.count

    def close(self) -> None:
        """Ends the worker processes of a loader and lets go of the library's memory; the oracle can
        go on, both come again."""
        self.train.source.close()
        self.net.put([s.value for s in self.net.slots])
        self._views.clear()


class _Product:
    """What is asked of a product."""

    def __init__(self, params, along, weights, forward: bool, rows: bool) -> None:
        self.params, self.along, self.weights = params, along, weights
        self.forward, self.rows = forward, rows


class _Done:
    """What a product gives, one entry per tensor."""

    def __init__(self, grads, products, rows) -> None:
        self.grads, self.products, self.rows = grads, products, rows


class _Sums:
    """Of an evaluation, in double: each batch counts by its examples."""

    def __init__(self, grads: list[torch.Tensor]) -> None:
        self.grads = grads
        self.state: list[torch.Tensor] = []
        self.count, self.loss, self.wrong = 0, 0.0, 0.0


def _doubles(like: list[Vector]) -> list[torch.Tensor]:
    return [torch.zeros(x.shape, dtype=torch.float64, device=x.device) for x in like]


def _weight_leaf(losses: torch.Tensor, weights: Optional) -> torch.Tensor:
    """v as a leaf: d<g, u>/dv_i = <dl_i/dw, u>/B."""
    v = torch.ones_like(losses) if weights is None else weights
    return v.detach().clone().requires_grad_()


def _tangents(outs: list, ins: list, along: list) -> list[Optional]:
    """J u by two passes back: z -> J'z is linear, and its transpose is J."""
    ends = [(i, o) for i, o in enumerate(outs) if o.requires_grad]
    given = [(x, t) for x, t in zip(ins, along)]
    result: list[Optional] = [None] * len(outs)
    if not ends or not along:
        return result
    zs = [torch.zeros_like(o, requires_grad=True) for _, o in ends]
    back = torch.autograd.grad(
        [o for _, o in ends], [x for x, _ in given], zs, create_graph=True, allow_unused=True
    )
    heads = [(b, t) for b, (_, t) in zip(back, given) if b is not None and b.requires_grad]
    if heads:
        got = torch.autograd.grad([b for b, _ in heads], zs, [t for _, t in heads],
                                  allow_unused=True)  # fmt: skip
        for (i, _), t in zip(ends, got):
            result[i] = t
    return result


@contextmanager
def _without_onednn():
    """As torch.backends.mkldnn.flags(enabled=False), which warns about GPUs on every call."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _check_word(name: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError(f"{name}: {word!r} is none of {', '.join(known)}")
