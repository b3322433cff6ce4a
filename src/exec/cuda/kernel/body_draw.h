/* Draws: functions of a key, a site and an element's place alone (base/rng_core.h). No guard. */

typedef no_state BODY_STATE(TYPED(uniform)), BODY_STATE(TYPED(normal));

GPU_BODY bool TYPED(uniform)(const uniform_args *x, gpu_thread t, BODY_STATE(TYPED(uniform)) * s,
                             void *shared, int phase)
{
    const uint64_t seed = (uint64_t)x->key[1] << 32 | x->key[0];

    for (int64_t i = first_of(t); i < x->count; i += stride_of(t)) {
        const uint64_t bits = rng_draw(seed, x->key[2], x->site, (uint64_t)i).first;
        ((REAL *)x->y)[i] = sizeof(REAL) == 4 ? (REAL)rng_unit_f32(bits) : (REAL)rng_unit(bits);
    }
    (void)s, (void)shared, (void)phase;
    return false;
}

GPU_BODY bool TYPED(normal)(const normal_args *x, gpu_thread t, BODY_STATE(TYPED(normal)) * s,
                            void *shared, int phase)
{
    const uint64_t seed = (uint64_t)x->key[1] << 32 | x->key[0];

    for (int64_t i = first_of(t); i < x->count; i += stride_of(t))
        ((REAL *)x->y)[i] = (REAL)rng_box_muller(rng_draw(seed, x->key[2], x->site, (uint64_t)i));
    (void)s, (void)shared, (void)phase;
    return false;
}
