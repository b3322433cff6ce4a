/* Pages: every kind of study gives a sound one; names are escaped; memory may fail. Whether they
 * look right is for tests/report/test_pages.py, in a browser. */
#include "report/base64.h"
#include "report/html_run.h"
#include "report/html_study.h"
#include "report/tensorboard.h"
#include "test.h"
#include <locale.h>

static const study_direction minimize[] = {DIRECTION_MINIMIZE};
static const study_direction both[] = {DIRECTION_MINIMIZE, DIRECTION_MAXIMIZE};

#define HOSTILE "</title><script>alert(1)</script>\"'&\x1b[2J\xe2\x80\xae\xff"
#define REAL                                                                                       \
    "{\"name\": \"FloatDistribution\", \"attributes\": {\"step\": null, \"low\": 0.001, "          \
    "\"high\": "                                                                                   \
    "10.0, \"log\": true}}"
#define CHOICES                                                                                    \
    "{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": "                       \
    "[\"<script>alert(2)</script>\", null, true, \"\"]}}"

typedef struct fixture {
    drmad_ctx *ctx;
    store *s;
    int n; /* trials */
    char url[1200];
} fixture;

static fixture fx_open(void)
{
    fixture fx = {.ctx = test_ctx()};
    const store_options o = {.create = true};

    snprintf(fx.url, sizeof fx.url, "sqlite:%s/page.db", test_scratch());
    CHECK_OK(fx.ctx, store_open(fx.ctx, fx.url, &o, &fx.s));
    return fx;
}

static int64_t make(const fixture *fx, const char *name, const study_direction *d, int32_t n)
{
    int64_t study = 0;
    bool made;

    CHECK_OK(fx->ctx, store_study_create(fx->s, name, d, n, &study, &made));
    return study;
}

static void add(fixture *fx, int64_t study, const store_trial *t)
{
    char key[STORE_REQUEST_SIZE];
    int64_t id, number;
    store_trial full = *t;

    char start[40], complete[40];

    /* one after the other */
    snprintf(start, sizeof start, "2026-01-02 %02d:%02d:05.000006", fx->n / 60 % 24, fx->n % 60);
    snprintf(complete, sizeof complete, "2026-01-02 %02d:%02d:25.500000", fx->n / 60 % 24,
             fx->n % 60);
    fx->n++;
    full.start = start, full.complete = complete;
    store_request(fx->s, key);
    CHECK_OK(fx->ctx, store_trial_add(fx->s, study, &full, key, &id, &number));
}

/* `n` trials: complete, pruned, failed; curves; a parameter that is not always there. */
static void fill(fixture *fx, int64_t study, int n, int32_t objectives)
{
    for (int i = 0; i < n; i++) {
        const store_param p[] = {{"lr", 0.001 + 0.01 * i, REAL}, {"<b>act", i % 4, CHOICES}};
        const double values[] = {i % 7 == 6 ? HUGE_VAL : 1.0 / (i + 1), i};
        const store_report r[] = {{0, 2.0}, {1, i % 5 ? 1.0 / (i + 1) : NAN}};
        const trial_state state = i % 11 == 5   ? TRIAL_FAIL
                                  : i % 11 == 7 ? TRIAL_PRUNED
                                                : TRIAL_COMPLETE;
        const store_trial t = {.state = state,
                               .n_params = 1 + i % 2,
                               .params = p,
                               .n_values = state == TRIAL_COMPLETE ? objectives : 0,
                               .values = values,
                               .n_reports = objectives == 1 ? 2 : 0,
                               .reports = r};
        add(fx, study, &t);
    }
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) n++;
    return n;
}

static char *page_of(const fixture *fx, const char *study)
{
    char *page = NULL;

    CHECK_OK(fx->ctx, html_study(fx->s, study, 1, &page));
    return page ? page : calloc(1, 1);
}

TEST(every_section_has_its_trials)
{
    fixture fx = fx_open();

    fill(&fx, make(&fx, "s", minimize, 1), 30, 1);
    char *page = page_of(&fx, "s");
    static const char *const parts[] = {"history", "importance", "parallel", "slices",
                                        "contour", "curves",     "timeline", "trials"};
    for (size_t i = 0; i < COUNT(parts); i++) {
        char id[40];

        snprintf(id, sizeof id, "<section id=\"%s\">", parts[i]);
        if (!strstr(page, id)) test_fail(__FILE__, __LINE__, "no %s", parts[i]);
    }
    CHECK_INT(count(page, "class=\"rug f\""), 3); /* 5, 16, 27 */
    CHECK_INT(count(page, "<tr id=\"t"), 30);
    CHECK_INT(count(page, "class=\"span "), 30);
    CHECK(strstr(page, "30: 24 COMPLETE, 3 PRUNED, 3 FAIL") != NULL);
    mem_free(fx.ctx, page);
    store_close(fx.s);
}

TEST(few_trials_are_enough_for_a_page)
{
    fixture fx = fx_open();
    const int64_t one = make(&fx, "one", minimize, 1), none = make(&fx, "none", minimize, 1);
    char *page = page_of(&fx, "none");

    (void)none;
    CHECK(strstr(page, "no trial yet") != NULL);
    mem_free(fx.ctx, page);
    add(&fx, one, &(store_trial){.state = TRIAL_WAITING});
    page = page_of(&fx, "one");
    CHECK_INT(count(page, "class=\"rug w\""), 1);
    CHECK(strstr(page, "no trial is complete") != NULL);
    mem_free(fx.ctx, page);
    fill(&fx, one, 1, 1);
    page = page_of(&fx, "one");
    CHECK(strstr(page, "Importances need") != NULL);
    mem_free(fx.ctx, page);
    CHECK_FAILS(fx.ctx, html_study(fx.s, "other", 1, &page), DRMAD_E_USAGE, "other");
    CHECK(page == NULL);
    store_close(fx.s);
}

TEST(several_objectives_have_a_front_on_the_page)
{
    fixture fx = fx_open();

    fill(&fx, make(&fx, "s", both, 2), 20, 2);
    char *page = page_of(&fx, "s");
    CHECK_INT(count(page, "class=\"history\""), 2);
    CHECK_INT(count(page, "class=\"front\""), 1);
    mem_free(fx.ctx, page);
    store_close(fx.s);
}

TEST(hostile_names_stay_texts)
{
    fixture fx = fx_open();
    const int64_t study = make(&fx, "</title><script>alert(1)</script>\"'&", minimize, 1);
    const store_attr a = {"<script>alert(3)</script>", "\"<img src=x onerror=alert(4)>\"", false};

    CHECK_OK(fx.ctx, store_study_set_attr(fx.s, study, &a));
    fill(&fx, study, 12, 1);
    char *page = page_of(&fx, "</title><script>alert(1)</script>\"'&");
    CHECK_INT(count(page, "<script"), 1);
    CHECK_INT(count(page, "<img"), 0);
    CHECK_INT(count(page, "</title>\n<style>"), 1);
    CHECK_INT(count(page, "http://"), count(page, "http://www.w3.org/"));
    CHECK_INT(count(page, "https://"), 0);
    mem_free(fx.ctx, page);

    text_out t = {.ctx = fx.ctx};
    html_text(&t, HOSTILE);
    CHECK_STR(t.text, "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\x1b[2J"
                      "\\u202e\\xff");
    text_free(&t);
    html_text_cut(&t, "\xc3\xa9\xc3\xa9\xc3\xa9<", 3);
    CHECK_STR(t.text, "\xc3\xa9\xc3\xa9\xe2\x80\xa6");
    text_free(&t);
    store_close(fx.s);
}

TEST(thousands_of_trials_make_a_page_of_few_megabytes)
{
    fixture fx = fx_open();

    fill(&fx, make(&fx, "s", minimize, 1), test_count(1500, 20000), 1);
    char *page = page_of(&fx, "s");
    CHECK(strlen(page) < 5 << 20);
    CHECK(strstr(page, "evenly") != NULL);
    mem_free(fx.ctx, page);
    store_close(fx.s);
}

TEST(pages_do_not_depend_on_the_locale)
{
    fixture fx = fx_open();

    fill(&fx, make(&fx, "s", minimize, 1), 12, 1);
    char *before = page_of(&fx, "s");
    CHECK(test_comma_locale());
    char *after = page_of(&fx, "s");
    setlocale(LC_NUMERIC, "C");
    CHECK(strcmp(before, after) == 0);
    mem_free(fx.ctx, before);
    mem_free(fx.ctx, after);
    store_close(fx.s);
}

TEST(base64_goes_both_ways)
{
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    static const char *const wrong[] = {"Zg=", "Z===", "Zm9*", "Zg==Zg=="};
    drmad_ctx *ctx = test_ctx();
    void *bytes;
    size_t n;

    for (size_t i = 0; i < COUNT(pairs); i++) {
        text_out t = {.ctx = ctx};

        base64_put(&t, pairs[i][0], strlen(pairs[i][0]));
        CHECK_STR(t.text ? t.text : "", pairs[i][1]);
        CHECK_OK(ctx, base64_read(ctx, pairs[i][1], strlen(pairs[i][1]), &bytes, &n));
        CHECK_INT(n, strlen(pairs[i][0]));
        CHECK(memcmp(bytes, pairs[i][0], n) == 0);
        mem_free(ctx, bytes);
        text_free(&t);
    }
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_FAILS(ctx, base64_read(ctx, wrong[i], strlen(wrong[i]), &bytes, &n), DRMAD_E_DATA,
                    "base64");
}

/* ---- runs ---- */

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[1200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

#define RUN                                                                                        \
    "{\"study\":\"r<i>\",\"call\":\"tune\",\"status\":\"done\",\"trajectory\":\"full\","           \
    "\"largest_growth\":3,\"path\":[{\"verdict\":\"moved\",\"objective\":1.5,\"best\":1.5,"        \
    "\"gradient_norm\":0.5,\"growth\":2,\"audit\":{\"exact\":-1,\"hypergradient\":-1.1}},"         \
    "{\"verdict\":\"taken back\",\"objective\":null,\"best\":1.5,\"gradient_norm\":null}],"        \
    "\"tuned\":{\"runs\":[{\"finite\":true,\"test_loss\":1,\"test_error\":0.1},{\"finite\":true,"  \
    "\"test_loss\":2,\"test_error\":0.2}]},\"start\":{\"runs\":[{\"finite\":true,\"test_loss\":3," \
    "\"test_error\":0.3},{\"finite\":false,\"test_loss\":null,\"test_error\":null}]}}"

#define STAGES                                                                                     \
    "\"stages\":[{\"stage\":\"search\"},{\"candidates\":[{\"name\":\"refined<1>\",\"runs\":[{"     \
    "\"finite\":true,\"test_loss\":0.5}]}]}]"

TEST(a_run_has_its_page)
{
    drmad_ctx *ctx = test_ctx();
    const char *folder = test_scratch();
    char path[1200], *page = NULL;

    CHECK_FAILS(ctx, html_run(ctx, folder, &page), DRMAD_E_DATA, "holds no result.json");
    write_text(folder, "result.json", "[1]");
    CHECK_FAILS(ctx, html_run(ctx, folder, &page), DRMAD_E_DATA, "no object");
    write_text(folder, "result.json", RUN);
    CHECK_OK(ctx, html_run(ctx, folder, &page));
    /* 1 and 2: 1.5 +- t(1) sd / sqrt(2) = 12.7062 * 0.70711 / 1.41421 */
    CHECK(page && strstr(page, "1.5 \xc2\xb1 6.4") != NULL);
    CHECK(page && strstr(page, "the slope was 10 % off at worst") != NULL);
    CHECK(page && strstr(page, "1 of 2 meta-steps were taken back") != NULL);
    CHECK(page && strstr(page, "r&lt;i&gt;") != NULL);
    mem_free(ctx, page);

    write_text(folder, "result.json",
               "{\"study\":\"p\"," STAGES ",\"compared\":[{\"name\":\"bo\"," STAGES "}]}");
    CHECK_OK(ctx, html_run(ctx, folder, &page));
    CHECK(page && strstr(page, ">refined&lt;1&gt;") && strstr(page, ">bo: refined") &&
          strstr(page, "1 of 1"));
    mem_free(ctx, page);

    write_text(folder, "py.json",
               "{\"drmad_result\":1,\"name\":\"py\",\"run\":" RUN ",\"notes\":[\"a note\"],"
               "\"tensors\":{\"0.weight\":{\"shape\":[2,2],\"l2\":{\"shape\":[1,1,2],\"values\":"
               "[0.5,0.25]},\"lr\":{\"shape\":[2],\"base64\":\"AAAAAAAA8D8AAAAAAAAAQA==\"}}}}");
    snprintf(path, sizeof path, "%s/py.json", folder);
    CHECK_OK(ctx, html_run(ctx, path, &page));
    CHECK(page && strstr(page, "l2/0.weight") && strstr(page, "unit 1: 0.25"));
    CHECK(page && strstr(page, "class=\"schedule\"") && strstr(page, "a note"));
    mem_free(ctx, page);
}

/* Castagnoli's polynomial over "123456789": the polynomial's published check value. */
TEST(event_files_have_the_right_sum)
{
    CHECK_INT(tensorboard_crc("123456789", 9), 0xe3069283);
    CHECK_INT(tensorboard_crc("", 0), 0);
}

/* ---- at a glance ---- */

TEST(a_glance_shows_what_runs_and_the_best)
{
    fixture fx = fx_open();
    const int64_t study = make(&fx, "s\033[2J", minimize, 1);
    const store_report r[] = {{1, 9.0}, {2, 0.125}};
    char key[STORE_REQUEST_SIZE];
    text_out text = {.ctx = fx.ctx};
    store_lease l;

    CHECK_OK(fx.ctx, report_live(fx.s, "s\033[2J", &text));
    CHECK(strstr(text.text, "trials     0:") && !strstr(text.text, "best"));
    text_free(&text);
    fill(&fx, study, 6, 1);
    store_request(fx.s, key);
    CHECK_OK(fx.ctx, store_trial_begin(fx.s, study, -1, key, &l));
    CHECK_OK(fx.ctx, store_trial_reports(fx.s, &l, r, 2));
    CHECK_OK(fx.ctx, report_live(fx.s, "s\033[2J", &text));
    CHECK(strstr(text.text, "s\\x1b[2J") && !strchr(text.text, '\033'));
    CHECK(strstr(text.text, "7: 5 complete, 1 running, 0 waiting, 0 pruned, 1 failed"));
    CHECK(strstr(text.text, "best       0.2  trial 4  lr 0.041"));
    CHECK(strstr(text.text, "running    trial 6 ") && strstr(text.text, "step 2: 0.125"));
    /* five values, ever better: from the highest block to the lowest */
    CHECK(strstr(text.text, "history    \xe2\x96\x88") && strstr(text.text, "\xe2\x96\x81\n"));
    text_free(&text);
    store_close(fx.s);
}

/* ---- memory ---- */

typedef struct events_case {
    char url[1200], folder[1200];
} events_case;

static drmad_status events_of(drmad_ctx *ctx, void *arg)
{
    const events_case *c = arg;
    const store_options o = {.read_only = true};
    drmad_status st = DRMAD_OK;
    store *s = NULL;
    view *v = NULL;

    TRY(store_open(ctx, c->url, &o, &s));
    TRY(view_read(s, "s", &v));
    TRY(tensorboard_study(v, c->folder));
done:
    view_free(v);
    store_close(s);
    return st;
}

TEST(event_files_give_up_without_memory)
{
    fixture fx = fx_open();
    events_case c;

    fill(&fx, make(&fx, "s", minimize, 1), 1, 1);
    store_close(fx.s);
    snprintf(c.url, sizeof c.url, "%s", fx.url);
    snprintf(c.folder, sizeof c.folder, "%s", test_scratch());
    test_oom(events_of, &c);
}

static drmad_status run_page(drmad_ctx *ctx, void *folder)
{
    char *page = NULL;
    const drmad_status st = html_run(ctx, folder, &page);

    mem_free(ctx, page);
    return st;
}

static drmad_status study_page_of(drmad_ctx *ctx, void *url)
{
    const store_options o = {.read_only = true};
    drmad_status st = DRMAD_OK;
    text_out text = {.ctx = ctx};
    char *page = NULL;
    store *s = NULL;

    TRY(store_open(ctx, url, &o, &s));
    TRY(html_study(s, "s", 1, &page));
    TRY(report_live(s, "s", &text));
done:
    text_free(&text);
    mem_free(ctx, page);
    store_close(s);
    return st;
}

TEST(pages_give_up_without_memory)
{
    fixture fx = fx_open();
    char folder[1200];

    const int64_t study = make(&fx, "s", minimize, 1);
    fill(&fx, study, 3, 1);
    for (int i = 0; i < 9; i++) { /* enough for a scale that looks at the bulk */
        const store_report r = {i, i};

        add(&fx, study, &(store_trial){.state = TRIAL_PRUNED, .n_reports = 1, .reports = &r});
    }
    store_close(fx.s);
    test_oom(study_page_of, fx.url);
    snprintf(folder, sizeof folder, "%s", test_scratch());
    write_text(folder, "result.json", RUN);
    test_oom(run_page, folder);
}
