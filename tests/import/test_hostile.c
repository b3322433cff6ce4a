/* Files that are wrong: each is refused with the place and what was expected, nothing else
 * happens. Faults F14 and F15 of the matrix, and failing allocations. */
#include "imported.h"
#include "import/import.h"

/* y = x w', loss = mean of y y: the graph that the texts below change. */
static const char good[] =
    "{\"drmad_graph\":1,\"producer\":\"test\",\"dtype\":\"f64\",\"batch\":{\"size\":2,\"any\":true}"
    ","
    "\"inputs\":[{\"name\":\"x\",\"role\":\"batch\",\"dtype\":\"f64\",\"shape\":[[\"batch\",1],3]},"
    "{\"name\":\"w\",\"role\":\"parameter\",\"full\":\"fc.weight\",\"kind\":\"weight\",\"layer\":0,"
    "\"dtype\":\"f64\",\"shape\":[2,3]}],"
    "\"train\":{\"nodes\":["
    "{\"name\":\"t\",\"op\":\"permute\",\"in\":[\"w\"],\"attr\":{\"dims\":[1,0]},\"shape\":[3,2],"
    "\"dtype\":\"f64\",\"module\":\"fc\"},"
    "{\"name\":\"y\",\"op\":\"mm\",\"in\":[\"x\",\"t\"],\"attr\":{},\"shape\":[[\"batch\",1],2],"
    "\"dtype\":\"f64\",\"module\":\"fc\"},"
    "{\"name\":\"q\",\"op\":\"mul\",\"in\":[\"y\",\"y\"],\"attr\":{},\"shape\":[[\"batch\",1],2],"
    "\"dtype\":\"f64\",\"module\":\"\"},"
    "{\"name\":\"l\",\"op\":\"mean\",\"in\":[\"q\"],\"attr\":{},\"shape\":[],\"dtype\":\"f64\","
    "\"module\":\"\"}],\"loss\":\"l\",\"buffers\":{},\"scores\":null},"
    "\"evaluate\":{\"nodes\":["
    "{\"name\":\"l\",\"op\":\"mean\",\"in\":[\"x\"],\"attr\":{},\"shape\":[],\"dtype\":\"f64\","
    "\"module\":\"\"}],\"loss\":\"l\",\"scores\":null}}";

static const double weights[6] = {0.5, -1, 2, 0.25, 0.75, -0.5};

static drmad_status open_text(drmad_ctx *ctx, const char *text)
{
    const st_tensor w = {"fc.weight", F64, SHAPE(2, 3), weights};
    const char *dir = test_scratch();
    imported *m = NULL;

    write_text(dir, "graph.json", text);
    write_tensors(dir, "weights.safetensors", &w, 1);
    const drmad_status st = import_open(ctx, dir, &m);
    import_close(m);
    return st;
}

/* `good` with the first `from` made `to`. */
static char *with(const char *from, const char *to)
{
    static char text[1 << 16];
    const char *at = strstr(good, from);

    CHECK(at != NULL);
    if (at) snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

TEST(the_graph_that_the_others_are_made_of_is_good)
{
    drmad_ctx *ctx = test_ctx();

    CHECK_OK(ctx, open_text(ctx, good));
}

typedef struct fault {
    const char *from, *to, *text;
} fault;

static const fault faults[] = {
    /* names and order */
    {"\"in\":[\"x\",\"t\"]", "\"in\":[\"x\",\"q\"]", "operand 1 is \"q\", which no value before"},
    {"\"in\":[\"x\",\"t\"]", "\"in\":[\"x\",\"y\"]", "operand 1 is \"y\", which no value before"},
    {"\"name\":\"y\"", "\"name\":\"t\"", "two values are called \"t\""},
    {"\"name\":\"y\"", "\"name\":\"\"", "a name and an op for each"},
    {"\"loss\":\"l\",\"buffers\"", "\"loss\":\"z\",\"buffers\"", "loss: expected the name"},
    {"\"loss\":\"l\",\"buffers\"", "\"loss\":\"y\",\"buffers\"", "is not one number"},
    {"\"in\":[\"x\",\"t\"]", "\"in\":[\"x\",\"t:3\"]", "operand 1 is output 3"},
    /* operations */
    {"\"op\":\"mm\"", "\"op\":\"fft\"", "node y (fft, in fc): no such operation here"},
    {"\"in\":[\"x\",\"t\"]", "\"in\":[\"x\",null]", "operand 1: expected real numbers of rank 2"},
    {"\"in\":[\"x\",\"t\"]", "\"in\":[\"x\"]", "operand 1: expected real numbers of rank 2"},
    {"\"dims\":[1,0]", "\"dims\":[1,1]", "does not name each dimension once"},
    {"\"dims\":[1,0]", "\"dims\":[1,0,2]", "does not name each of 2 dimensions"},
    {"\"dims\":[1,0]", "\"dims\":[1,9223372036854775807]", "does not name each dimension once"},
    {"\"dims\":[1,0]", "\"dims\":\"all\"", "dims is no list"},
    {"\"attr\":{\"dims\":[1,0]}", "\"attr\":[1]", "attr is no object"},
    {"\"in\":[\"y\",\"y\"],\"attr\":{}", "\"in\":[\"y\"],\"attr\":{\"other\":\"x\"}",
     "other is no number"},
    /* shapes and types */
    {"\"shape\":[[\"batch\",1],2],", "\"shape\":[[\"batch\",1],3],",
     "gives [2,2], the file states [2,3]"},
    {"\"shape\":[3,2],", "\"shape\":[-3,2],", "dimensions that are numbers from 0"},
    {"\"shape\":[3,2],", "\"shape\":[3,2,1,1,1,1,1],", "at most 6 dimensions"},
    {"\"shape\":[3,2],", "\"shape\":[4294967296,4294967296],", "at most 2^40 elements"},
    {"\"shape\":[3,2],", "\"shape\":[[\"batch\",9223372036854775807],2],", "at most 2^40"},
    {"\"shape\":[3,2],", "\"shape\":[[\"batch\",0],2],", "dimensions that are numbers"},
    {"\"shape\":[3,2],", "\"shape\":[0,2],", "has no elements"},
    {"\"any\":true", "\"any\":false", "no \"batch\" in a shape where batch.any is false"},
    {"\"dtype\":\"f64\",\"shape\":[2,3]", "\"dtype\":\"f32\",\"shape\":[2,3]",
     "the dtype of the whole"},
    {"\"dtype\":\"f64\",\"module\":\"fc\"", "\"dtype\":\"f32\",\"module\":\"fc\"",
     "is f32 in a graph of f64"},
    {"\"dtype\":\"f64\",\"module\":\"fc\"", "\"dtype\":\"f16\",\"module\":\"fc\"", "a dtype"},
    {"\"dtype\":\"f64\",\"module\":\"fc\"", "\"dtype\":\"bool\",\"module\":\"fc\"",
     "another type of numbers"},
    /* the frame */
    {"\"drmad_graph\":1", "\"drmad_graph\":2", "version 2 of the format, this drmad reads 1"},
    {"\"drmad_graph\":1", "\"drmad_graph\":\"1\"", "expected the format's version"},
    {"\"dtype\":\"f64\",\"batch\"", "\"dtype\":\"f128\",\"batch\"", "dtype: expected f32 or f64"},
    {"\"size\":2", "\"size\":0", "batch.size: expected a number from 1"},
    {"\"role\":\"batch\"", "\"role\":\"seed\"", "x: expected a role"},
    {"\"role\":\"batch\"", "\"role\":\"label\"", "whole numbers (i64) as labels"},
    {"\"kind\":\"weight\"", "\"kind\":\"mask\"", "w: expected a kind"},
    {"\"layer\":0", "\"layer\":-1", "w: expected a layer from 0"},
    {"\"full\":\"fc.weight\"", "\"full\":\"\"", "w: expected its full name"},
    {"\"buffers\":{}", "\"buffers\":{\"fc.weight\":\"t\"}", "buffers: expected names of buffers"},
    {"\"evaluate\":{", "\"other\":{", "evaluate: expected an object"},
    /* weights */
    {"\"full\":\"fc.weight\"", "\"full\":\"fc2.weight\"", "\"fc2.weight\" is missing"},
    {"\"shape\":[2,3]", "\"shape\":[3,2]",
     "\"fc.weight\" is f64 [2,3], graph.json states f64 [3,2]"},
    /* JSON */
    {"\"inputs\":[", "\"inputs\":[[", "line 1, column"},
    {"\"dtype\":\"f64\",\"batch\"", "\"drmad_graph\":1,\"dtype\":\"f64\",\"batch\"", "duplicate"},
    {"{\"drmad_graph\"", "[{\"drmad_graph\"", "line 1, column"},
};

TEST(what_is_wrong_is_named)
{
    drmad_ctx *ctx = test_ctx();

    for (size_t i = 0; i < COUNT(faults); i++)
        CHECK_FAILS(ctx, open_text(ctx, with(faults[i].from, faults[i].to)), DRMAD_E_MODEL,
                    faults[i].text);
}

TEST(surplus_weights_are_refused)
{
    drmad_ctx *ctx = test_ctx();
    const st_tensor w[] = {{"fc.weight", F64, SHAPE(2, 3), weights},
                           {"fc.bias", F64, SHAPE(2), weights}};
    const char *dir = test_scratch();
    imported *m = NULL;

    write_text(dir, "graph.json", good);
    write_tensors(dir, "weights.safetensors", w, 2);
    CHECK_FAILS(ctx, import_open(ctx, dir, &m), DRMAD_E_MODEL, "2 tensors, graph.json names 1");
    CHECK(m == NULL);
}

/* A list of nodes without end, and JSON as deep as the file is long. */
TEST(size_is_bounded)
{
    drmad_ctx *ctx = test_ctx();
    static const char one[] = "{\"name\":\"a%d\",\"op\":\"neg\",\"in\":[\"x\"],\"shape\":[2,3],"
                              "\"dtype\":\"f64\"},";
    const char *cut = strstr(good, "{\"name\":\"t\"");
    const int n = GRAPH_NODES_MAX + 1;
    char *text = malloc((size_t)n * (sizeof one + 8) + sizeof good), *at = text;

    at += sprintf(at, "%.*s", (int)(cut - good), good);
    for (int i = 0; i < n; i++) at += sprintf(at, one, i);
    strcpy(at, cut);
    CHECK_FAILS(ctx, open_text(ctx, text), DRMAD_E_MODEL,
                "nodes, expected a list of at most 50000");
    memset(text, '[', (size_t)n);
    text[n] = '\0';
    CHECK_FAILS(ctx, open_text(ctx, text), DRMAD_E_MODEL, "maximum parsing depth");
    free(text);
    text = malloc(GRAPH_BYTES_MAX + 2);
    memset(text, ' ', GRAPH_BYTES_MAX + 1);
    text[GRAPH_BYTES_MAX + 1] = '\0';
    CHECK_FAILS(ctx, open_text(ctx, text), DRMAD_E_DATA, "graph.json");
    free(text);
}

/* a = a + a, again and again: the way back to rows must not visit all of it. */
TEST(a_loss_that_doubles_a_thousand_times_is_quick)
{
    drmad_ctx *ctx = test_ctx();
    const char *cut = strstr(good, "],\"loss\":\"l\"");
    const int n = 1000;
    char *text = malloc(sizeof good + (size_t)n * 128), *at = text;

    at += sprintf(at, "%.*s", (int)(cut - good), good);
    for (int i = 0; i < n; i++) {
        char last[16];
        snprintf(last, sizeof last, i ? "a%d" : "l", i - 1);
        at += sprintf(at,
                      ",{\"name\":\"a%d\",\"op\":\"add\",\"in\":[\"%s\",\"%s\"],\"attr\":"
                      "{\"alpha\":-0.5},\"shape\":[],\"dtype\":\"f64\"}",
                      i, last, last);
    }
    sprintf(at, "],\"loss\":\"a%d\"%s", n - 1, cut + strlen("],\"loss\":\"l\""));
    CHECK_OK(ctx, open_text(ctx, text));
    free(text);
}

static drmad_status open_good(drmad_ctx *ctx, void *arg)
{
    imported *m = NULL;
    import_parity p;
    drmad_status st = import_open(ctx, arg, &m);

    if (st == DRMAD_OK) st = import_check(m, &p);
    import_close(m);
    return st;
}

TEST(every_failing_allocation_leaves_nothing)
{
    char dir[] = "tests/import/zoo/batch_norms";

    test_oom(open_good, dir);
}
