/* `device: cuda`: the backend that computes a set-up's model. */
#include "exec/cuda/cuda.h"
#include "setup/setup_parts.h"

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
    s->spec.on = s->gpu;
done:
    return st;
}
