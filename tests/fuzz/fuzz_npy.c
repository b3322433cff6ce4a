/* npy: the input is what follows the magic, so that the search starts at the header. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    const bool has = size >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
    const size_t skip = has ? 0 : sizeof magic;
    uint8_t *all = malloc(size + sizeof magic);

    if (!all) return 0;
    memcpy(all, magic, skip);
    if (size) memcpy(all + skip, data, size);
    fuzz_array(all, size + skip);
    free(all);
    return 0;
}
