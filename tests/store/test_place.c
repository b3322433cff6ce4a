/* URLs of every form, and that none shows its password. */
#include "backends.h"
#include "base/shared_library.h"
#include "drmad/store.h"
#include "store/store_inside.h"
#include <unistd.h>

typedef struct place {
    const char *url, *shown, *place;
} place;

static void free_place(store *s)
{
    mem_free(s->ctx, s->url);
    mem_free(s->ctx, s->place);
}

TEST(place_of_every_form_of_url)
{
    static const place forms[] = {
        {"sqlite:runs.db", "sqlite:runs.db", "runs.db"},
        {"sqlite:/var/runs.db", "sqlite:/var/runs.db", "/var/runs.db"},
        {"sqlite:///runs.db", "sqlite:///runs.db", "runs.db"},
        {"sqlite:////var/runs.db", "sqlite:////var/runs.db", "/var/runs.db"},
        {"journal:runs.log", "journal:runs.log", "runs.log"},
        {"sqlite:a%23b%20%2323.db", "sqlite:a%23b%20%2323.db", "a#b%20#23.db"},
        {"journal:%23", "journal:%23", "#"},
        {"postgresql://host/db", "postgresql://host/db", "postgresql://host/db"},
        {"postgresql://host/d%23b", "postgresql://host/d%23b", "postgresql://host/d%23b"},
        {"postgres://host/db", "postgres://host/db", "postgresql://host/db"},
        {"postgresql+psycopg2://u:p@h/db", "postgresql+psycopg2://u:***@h/db",
         "postgresql://u:p@h/db"},
        {"postgresql://u:p@h:1/db?sslmode=require", "postgresql://u:***@h:1/db?sslmode=require",
         "postgresql://u:p@h:1/db?sslmode=require"},
        {"postgresql://u:p%40/@ss@h/db", "postgresql://u:***@h/db", "postgresql://u:p%40/@ss@h/db"},
        {"postgresql://u@h/db?password=secret&connect_timeout=3",
         "postgresql://u@h/db?password=***&connect_timeout=3",
         "postgresql://u@h/db?password=secret&connect_timeout=3"},
        {"postgresql://h/db?sslpassword=a&password=",
         "postgresql://h/db?sslpassword=***&password=***",
         "postgresql://h/db?sslpassword=a&password="},
        {"postgresql://", "postgresql://", "postgresql://"},
    };
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(forms); i++) {
        store s = {.ctx = ctx};
        CHECK_OK(ctx, store_set_place(&s, forms[i].url));
        if (s.url) CHECK_STR(s.url, forms[i].shown);
        if (s.place) CHECK_STR(s.place, forms[i].place);
        free_place(&s);
    }
}

TEST(place_tells_whether_a_url_holds_a_password)
{
    static const char *const with[] = {"postgresql://u:p@h/db",
                                       "store=postgres://u:a/b@h/db#study",
                                       "--store=postgresql+psycopg2://u:p@/db",
                                       "postgresql://h/db?connect_timeout=3&password=",
                                       "postgresql://h/db?PASSWORD=a",
                                       "postgresql://h/db?sslpassword=a"};
    static const char *const without[] = {"postgresql://u@h:5432/db",
                                          "postgresql://u:@h/db",
                                          "postgresql://h/db?passfile=/x#a:b@c",
                                          "sqlite:u:p@h.db",
                                          "https://u:p@h/x",
                                          "password=a",
                                          ""};

    for (size_t i = 0; i < COUNT(with); i++)
        if (!drmad_store_has_password(with[i])) test_fail(__FILE__, __LINE__, "%s", with[i]);
    for (size_t i = 0; i < COUNT(without); i++)
        if (drmad_store_has_password(without[i])) test_fail(__FILE__, __LINE__, "%s", without[i]);
}

TEST(place_comes_from_the_environment_or_is_the_default)
{
    drmad_ctx *ctx = test_ctx();
    store s = {.ctx = ctx};

    setenv("DRMAD_STORAGE", "journal:x.log", 1);
    CHECK_OK(ctx, store_set_place(&s, NULL));
    CHECK_STR(s.url, "journal:x.log");
    free_place(&s);
    setenv("DRMAD_STORAGE", "", 1);
    s = (store){.ctx = ctx};
    CHECK_OK(ctx, store_set_place(&s, ""));
    CHECK_STR(s.url, "sqlite:drmad.db");
    free_place(&s);
    unsetenv("DRMAD_STORAGE");
}

TEST(place_refuses_what_is_none)
{
    static const char *const bad[] = {
        "runs.db", "mysql://u:secret@h/db", "sqlite:", "postgresql:db", "SQLITE:x", "://:secret@"};
    drmad_ctx *ctx = test_ctx();
    const store_options o = {.create = true};
    store *s = NULL;

    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(ctx, store_open(ctx, bad[i], &o, &s), DRMAD_E_USAGE, "expected");
        CHECK(s == NULL && !strstr(drmad_errmsg(ctx), "secret"));
    }
    CHECK_FAILS(ctx, store_open(ctx, "postgresql://u:secret@h:port/db", &o, &s), DRMAD_E_USAGE,
                "URL");
    CHECK(!strstr(drmad_errmsg(ctx), "secret"));
}

/* A link that was planted at the name of a file to be made is not followed. */
TEST(place_planted_link_makes_no_file_elsewhere)
{
    drmad_ctx *ctx = test_ctx();
    char url[BACKEND_URL_SIZE], target[512];
    store *s = NULL;

    backend_url(BACKEND_SQLITE, url);
    snprintf(target, sizeof target, "%s/elsewhere.db", backend_scratch());
    CHECK_INT(symlink(target, url + strlen("sqlite:")), 0);
    CHECK(backend_open(ctx, url, 1, 60, &s) != DRMAD_OK);
    CHECK(access(target, F_OK) != 0);
    store_close(s);
}

/* A machine without the library, or with one that is too old, is told what to install. */
TEST(place_library_that_is_missing_is_named)
{
    static const library_symbol symbols[] = {{"sqlite3_open_v9", 0}};
    library_source source = {.file = "libnot-there.so.7",
                             .what = "A database",
                             .package = "libx7",
                             .oldest = "x 7",
                             .symbols = symbols,
                             .n = 1};
    drmad_ctx *ctx = test_ctx();
    void *table[1];

    CHECK_FAILS(ctx, library_open(ctx, &source, table), DRMAD_E_MISSING, "apt install libx7");
    source.file = "libsqlite3.so.0";
    CHECK_FAILS(ctx, library_open(ctx, &source, table), DRMAD_E_MISSING, "sqlite3_open_v9");
}
