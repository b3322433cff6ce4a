"""Declarations: what they become in a study, what they reach, what is refused by name."""

import torch
from house import main, raises

import drmad.hyper as h
from drmad.plain import Knob

FLAT = {"kind": "constant", "warmup": 0}


def entries_are_yaml_in_the_study_s_words():
    text = h.override(
        [
            h.lr(per="layer", phases=5, low=1e-7),
            h.weight_decay(per="unit-out", match="blocks.*.weight"),
            h.momentum(phases="every-step", smooth=4, transform="logit"),
            h.l2(start=1e-3, ties=[{"per": "global", "until": 2}]),
        ]
    )
    assert text == (
        "hyper=[{kind: lr, per: layer, phases: 5, low: 1e-07}, "
        '{kind: weight_decay, per: unit-out, match: "blocks.*.weight"}, '
        "{kind: momentum, per: global, phases: every-step, smooth: 4.0, transform: logit}, "
        "{kind: l2, per: global, start: 0.001, ties: [{per: global, until: 2}]}]"
    ), text


def a_schedule_makes_rates_multipliers():
    assert h.lr().entry(scheduled=True)["multiplier"] is True
    assert "multiplier" not in h.lr(multiplier=False).entry(scheduled=True)
    assert "multiplier" not in h.lr().entry(scheduled=False)
    assert "multiplier" not in h.momentum().entry(scheduled=True)


def reach_is_the_library_s():
    assert h.lr().reaches("a.bias", "bias") and h.lr().reaches("n.weight", "norm")
    assert h.l2().reaches("a.weight", "weight") and not h.l2().reaches("a.bias", "bias")
    assert h.l2(match="*").reaches("a.bias", "bias")
    assert not h.example_weight().reaches("a.weight", "weight")


def shapes_in_use():
    assert h.use_shape("unit-in", (8, 3, 5, 5)) == (1, 3, 1, 1)
    assert h.use_shape("unit-out", (8, 3, 5, 5)) == (8, 1, 1, 1)
    assert h.use_shape("unit-in", (8,)) == (1,) and h.use_shape("unit-out", (8,)) == (8,)
    assert h.use_shape("weight", (2, 3)) == (2, 3) and h.use_shape("layer", (2, 3)) == (1, 1)


def phases_are_the_library_s():
    """space.h: phase k covers the steps floor(k T/K) .. floor((k+1) T/K) - 1."""
    for steps, rows in ((10, 3), (7, 7), (200, 6), (5, 1)):
        k = Knob({"steps": steps, "schedule": FLAT}, torch.arange(rows).double()[:, None], False)
        for phase in range(rows):
            for t in range(phase * steps // rows, (phase + 1) * steps // rows):
                assert k.at(t) == phase


def refusals_name_the_thing():
    raises(ValueError, "'lrr' cannot be tuned; one of lr,", lambda: h.Hyper("lrr"))
    raises(ValueError, "no value per 'neuron'", lambda: h.lr(per="neuron"))
    raises(ValueError, "no value per 'unit-in'", lambda: h.example_weight(per="unit-in"))
    raises(ValueError, "no ties", lambda: h.example_weight(ties=[{"per": "global", "until": 1}]))
    raises(ValueError, "phases=0", lambda: h.lr(phases=0))
    raises(ValueError, "phases=True", lambda: h.lr(phases=True))
    raises(ValueError, "has no phases", lambda: h.init_scale(phases=2))
    raises(ValueError, "has no base value", lambda: h.init_scale(multiplier=True))
    raises(ValueError, "no transform 'sqrt'", lambda: h.lr(transform="sqrt"))
    raises(ValueError, "label_smoothing: not for a module", lambda: h.Hyper("label_smoothing"))


if __name__ == "__main__":
    main({f.__name__: f for f in list(globals().values()) if getattr(f, "__module__", "") ==
          "__main__"})
