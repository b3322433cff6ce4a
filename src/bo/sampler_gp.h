/* What a benchmark may change of the GP sampler; it is not part of a suggestion's note. */
#ifndef SAMPLER_GP_H
#define SAMPLER_GP_H
#include "bo/niche.h"
#include "bo/sampler.h"

/* Of a sampler of kind SAMPLER_GP. */
niche_options *sampler_gp_niche(sampler *s);
#endif
