/* Charts as SVG: scales, axes, marks. A chart is 480 units wide (a wide one 960) and is shown about
 * as wide, on a phone a little smaller, so that a letter of 11.5 units stays readable.
 *
 * Colours are classes of the page's style (page_style.c): c p f r w for the states of trials, best,
 * k0 to k7 for series; only heat is written as a colour.
 * Marks carry their values as <title>. */
#ifndef SVG_H
#define SVG_H
#include "report/html.h"

typedef enum scale_kind { SCALE_LINEAR, SCALE_LOG, SCALE_NAMES } scale_kind;

typedef struct scale {
    scale_kind kind;
    double low, high; /* in the data's unit; names: 0 to n - 1 */
    double from, to;  /* in the chart's */
    int32_t n_names;
    char *const *names; /* borrowed */
} scale;

/* From values, those not finite left out; logarithmic when `log` and all are positive. No value at
 * all: 0 to 1. */
scale scale_of(const double *x, int64_t n, bool log);
/* The same for values of a search: logarithmic when they are positive and span more than two
 * decades; else without what lies far outside the bulk on the side away from the best. */
drmad_status scale_of_values(drmad_ctx *ctx, const double *x, int64_t n, scale *out);
scale scale_of_names(char *const *names, int32_t n);
/* Where x lies; outside and infinite values at the nearer end. */
double scale_at(const scale *s, double x);
bool scale_holds(const scale *s, double x);      /* finite and within */
double scale_back(const scale *s, double share); /* the value at 0 to 1 of the way */

enum { TICKS_MAX = 32 };
int scale_ticks(const scale *s, int wanted, double *at);
/* As a tick says it: no more digits than ticks need. */
void scale_label(const scale *s, double x, char *buf, size_t size);

typedef struct chart {
    text_out *t;
    double width, height;
    double left, right, top, bottom; /* of the plot within */
    scale x, y;
    bool bare;           /* no axis of y */
    bool y_down;         /* low values at the top, as rows are read */
    const char *element; /* of the open mark */
} chart;

enum { CHART_WIDTH = 480, CHART_HEIGHT = 280, CHART_WIDE = 960, CHART_SMALL = 340 };
/* The scales' ends are set from the chart's. `class` names the chart for its readers. */
void chart_open(chart *c, html *h, const char *class);
void chart_axes(chart *c, const char *x_name, const char *y_name); /* names: any text */
void chart_close(chart *c);

/* Each mark is open until mark_end: what is put in between is its <title>. `number`: of the trial,
 * -1 for none. */
void mark_dot(chart *c, const char *class, double x, double y, int64_t number);
void mark_end(chart *c);
void mark_rect(chart *c, const char *class, double x, double y, double width, double height);
void mark_cell(chart *c, double x, double y, double width, double height, double share);

/* A line by points in the data's unit; NaN breaks it. Ends open: path_end puts class and title. */
typedef struct trace {
    chart *c;
    bool open, drawn;
} trace;
trace path_start(chart *c, const char *class);
void path_to(trace *p, double x, double y);
void path_step(trace *p, double x, double y); /* across, then up or down */
void path_title(trace *p);
void path_end(trace *p);

/* Viridis at 0 to 1 as "#rrggbb". */
const char *heat_colour(double share, char buf[8]);
/* A bar of colours with its ends' values. */
void heat_legend(html *h, const scale *s);
#endif
