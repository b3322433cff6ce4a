/* SHA-256 without a library: for artefacts, and for data in builds that leave OpenSSL out
 * (DRMAD_FETCH=OFF). About a tenth as fast as OpenSSL where the processor has SHA instructions. */
#ifndef SHA256_H
#define SHA256_H
#include <stddef.h>
#include <stdint.h>

typedef struct sha256 {
    uint32_t h[8];
    uint8_t block[64];
    uint64_t bytes; /* taken in so far */
} sha256;

void sha256_start(sha256 *s);
void sha256_add(sha256 *s, const void *bytes, size_t size);
void sha256_end(sha256 *s, uint8_t hash[32]);
/* The same as hexadecimal digits. */
enum { SHA256_HEX = 65 };
void sha256_end_hex(sha256 *s, char hex[SHA256_HEX]);
void sha256_hex(const void *data, size_t size, char hex[SHA256_HEX]); /* all at once */
#endif
