/* `device: cuda`: the backend that computes a set-up's model. */
#include "exec/cuda/cuda.h"
#include "setup/setup_parts.h"

static drmad_status set_products(setup *s)
{
    static const struct {
        const char *name;
        gpu_products how;
    } words[] = {[CFG_PRODUCTS_F32] = {"f32", PRODUCTS_F32},
                 [CFG_PRODUCTS_TF32] = {"tf32", PRODUCTS_TF32},
                 [CFG_PRODUCTS_BF16] = {"bf16", PRODUCTS_BF16}};
    const int word = s->cfg->set.products;
    drmad_status st = DRMAD_OK;

    if (word == CFG_PRODUCTS_F32) return DRMAD_OK;
    TRY(cuda_backend_products(s->gpu, words[word].how));
    base_log(s->ctx, LOG_WARN,
             "products: %s rounds the operands of large products to %d bits: training hardly "
             "notices, hypergradients lose digits at each step back",
             words[word].name, word == CFG_PRODUCTS_BF16 ? 7 : 10);
done:
    return st;
}

drmad_status setup_device(setup *s)
{
    const int32_t number = config_gpu(s->cfg);
    drmad_status st = DRMAD_OK;
    const gpu_driver *d;

    if (number < 0) return DRMAD_OK;
    if (s->model && !s->model->import)
        TRY(config_refuse(s->cfg, "device", "%s: \"%s\" is computed by its caller, where it likes",
                          s->cfg->set.device, s->model->name));
    TRY(cuda_driver_find(s->ctx, &d));
    TRY(cuda_backend_new(s->ctx, d, number, &s->gpu));
    cuda_backend_share(s->gpu, s->ctx->gpu_share, s->ctx->gpu_trials);
    TRY(set_products(s));
    s->spec.on = s->gpu;
done:
    return st;
}
