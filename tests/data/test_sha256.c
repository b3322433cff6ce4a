/* Our SHA-256 against the standard's examples and against the library's. */
#include "data/blob.h"
#include "base/sha256.h"
#include "test.h"
#include <stdio.h>
#include <string.h>

static const char *hex(const void *bytes, size_t size, size_t piece)
{
    static char text[SHA256_TEXT];
    uint8_t hash[32];
    sha256 s;

    sha256_start(&s);
    for (size_t i = 0; i < size; i += piece)
        sha256_add(&s, (const char *)bytes + i, size - i < piece ? size - i : piece);
    sha256_end(&s, hash);
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", hash[i]);
    return text;
}

TEST(own_sha256_gives_the_examples_of_the_standard)
{
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

    CHECK(strcmp(hex("abc", 3, 3), "ba7816bf8f01cfea414140de5dae2223"
                                   "b00361a396177a9cb410ff61f20015ad") == 0);
    CHECK(strcmp(hex(two, sizeof two - 1, 64), "248d6a61d20638b8e5c026930c3e6039"
                                               "a33ce45964ff2167f6ecedd419db06c1") == 0);
}

TEST(own_sha256_is_openssl_s_for_each_padding_and_cut)
{
    drmad_ctx *ctx = test_ctx();
    char bytes[200], want[SHA256_TEXT];

    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * i + 7 * i);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        CHECK_OK(ctx, blob_sha256(ctx, bytes, size, "", 0, want));
        for (size_t piece = 1; piece <= 130; piece += 43)
            CHECK(strcmp(hex(bytes, size, piece), want) == 0);
    }
}
