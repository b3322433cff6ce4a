/* Charts: frame, axes, marks. */
#include "report/svg.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LETTER = 6 }; /* units that a character of an axis takes, about */

void chart_open(chart *c, html *h, const char *class)
{
    c->t = &h->t;
    if (c->width == 0) c->width = CHART_WIDTH;
    if (c->height == 0) c->height = CHART_HEIGHT;
    if (c->left == 0) c->left = 58;
    if (c->right == 0) c->right = c->width - 12;
    if (c->top == 0) c->top = 12;
    if (c->bottom == 0) c->bottom = c->height - 40;
    c->x.from = c->left, c->x.to = c->right;
    c->y.from = c->y_down ? c->top : c->bottom, c->y.to = c->y_down ? c->bottom : c->top;
    text_say(c->t,
             "<svg class=\"%s\" viewBox=\"0 0 %g %g\" role=\"img\" "
             "xmlns=\"http://www.w3.org/2000/svg\">\n",
             class, c->width, c->height);
}

void chart_close(chart *c)
{
    text_put(c->t, "</svg>\n");
}

/* ---- axes ---- */

static void put_text(chart *c, double x, double y, const char *anchor, const char *text, int most)
{
    text_say(c->t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    html_text_cut(c->t, text, most);
    if ((int)strlen(text) > most) {
        text_put(c->t, "<title>");
        html_text(c->t, text);
        text_put(c->t, "</title>");
    }
    text_put(c->t, "</text>");
}

/* How many characters a tick of n along an axis of names may have. */
static int room_of(double length, int n)
{
    const int room = (int)(length / (n > 0 ? n : 1) / LETTER) - 1;

    return room < 3 ? 3 : room;
}

static void x_ticks(chart *c)
{
    const int wanted = (int)((c->right - c->left) / (c->x.kind == SCALE_NAMES ? 34 : 80));
    double at[TICKS_MAX];
    const int n = scale_ticks(&c->x, wanted < 2 ? 2 : wanted, at);
    const int most = c->x.kind == SCALE_NAMES ? room_of(c->right - c->left, n) : 24;
    char label[64];

    for (int i = 0; i < n; i++) {
        const double px = scale_at(&c->x, at[i]);
        const char *name = label;

        if (c->x.kind == SCALE_NAMES) name = c->x.names[(int)at[i]];
        else scale_label(&c->x, at[i], label, sizeof label);
        text_say(c->t, "<path class=\"gr\" d=\"M%.1f %.1fV%.1f\"/>", px, c->top, c->bottom);
        const double half = LETTER * 0.5 * (double)strlen(label);
        const bool late = c->x.kind != SCALE_NAMES && px + half > c->width;
        put_text(c, late ? c->width - 1 : px, c->bottom + 15, late ? "end" : "middle", name, most);
    }
}

static void y_ticks(chart *c)
{
    const int most = (int)((c->left - 8) / LETTER);
    double at[TICKS_MAX];
    const double apart = c->y.kind == SCALE_NAMES ? 14 : 45;
    const int n = scale_ticks(&c->y, (int)((c->bottom - c->top) / apart), at);
    char label[64];

    for (int i = 0; i < n; i++) {
        const double py = scale_at(&c->y, at[i]);
        const char *name = label;

        if (c->y.kind == SCALE_NAMES) name = c->y.names[(int)at[i]];
        else scale_label(&c->y, at[i], label, sizeof label);
        text_say(c->t, "<path class=\"gr\" d=\"M%.1f %.1fH%.1f\"/>", c->left, py, c->right);
        put_text(c, c->left - 6, py + 4, "end", name, most);
    }
    text_put(c->t, "\n");
}

void chart_axes(chart *c, const char *x_name, const char *y_name)
{
    const double middle = (c->top + c->bottom) / 2;
    const int most = (int)((c->right - c->left) / LETTER);

    x_ticks(c);
    if (!c->bare) y_ticks(c);
    text_say(c->t, "<rect class=\"ax\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
             c->left, c->top, c->right - c->left, c->bottom - c->top);
    if (x_name) put_text(c, (c->left + c->right) / 2, c->bottom + 33, "middle", x_name, most);
    if (!y_name) return;
    text_say(c->t, "<g transform=\"rotate(-90 11 %.1f)\">", middle);
    put_text(c, 11, middle, "middle", y_name, (int)((c->bottom - c->top) / LETTER));
    text_put(c->t, "</g>\n");
}

/* ---- marks ---- */

static void put_number_of(chart *c, int64_t number)
{
    if (number >= 0) text_say(c->t, " data-trial=\"%lld\"", (long long)number);
    text_put(c->t, "><title>");
}

void mark_dot(chart *c, const char *class, double x, double y, int64_t number)
{
    const bool large = strncmp(class, "best", 4) == 0;

    if (scale_holds(&c->y, y) && scale_holds(&c->x, x)) {
        c->element = "circle";
        text_say(c->t, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"", class,
                 scale_at(&c->x, x), scale_at(&c->y, y), large ? 4.5 : 3.0);
    } else { /* a little arrow at the edge that it lies beyond */
        const bool up = !(y < c->y.low);

        c->element = "path";
        const double px = scale_at(&c->x, x), py = up ? c->top : c->bottom;
        text_say(c->t, "<path class=\"%s off\" d=\"M%.1f %.1fl4 %gh-8z\"", class, px, py,
                 up ? 7.0 : -7.0);
    }
    put_number_of(c, number);
}

void mark_rect(chart *c, const char *class, double x, double y, double width, double height)
{
    c->element = "rect";
    text_say(c->t,
             "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
             class, x, y, width, height);
}

void mark_cell(chart *c, double x, double y, double width, double height, double share)
{
    char colour[8];

    c->element = "rect";
    text_say(c->t, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"><title>",
             x, y, width, height, heat_colour(share, colour));
}

void mark_end(chart *c)
{
    text_say(c->t, "</title></%s>\n", c->element);
}

/* ---- lines ---- */

trace path_start(chart *c, const char *class)
{
    text_say(c->t, "<path class=\"%s\" d=\"", class);
    return (trace){.c = c};
}

void path_to(trace *p, double x, double y)
{
    if (isnan(x) || isnan(y)) {
        p->open = false;
        return;
    }
    text_say(p->c->t, "%c%.1f %.1f", p->open ? 'L' : 'M', scale_at(&p->c->x, x),
             scale_at(&p->c->y, y));
    p->open = p->drawn = true;
}

void path_step(trace *p, double x, double y)
{
    if (p->open && !isnan(x) && !isnan(y)) text_say(p->c->t, "H%.1f", scale_at(&p->c->x, x));
    path_to(p, x, y);
}

/* A path without a point would be no valid one. */
void path_title(trace *p)
{
    text_put(p->c->t, p->drawn ? "\"><title>" : "M0 0\"><title>");
}

void path_end(trace *p)
{
    text_put(p->c->t, "</title></path>\n");
}

/* ---- heat ---- */

/* Source: viridis of matplotlib 3.8 (CC0) at 0, 1/8, ..., 1. */
static const unsigned char viridis[9][3] = {{68, 1, 84},    {71, 45, 123},  {59, 82, 139},
                                            {44, 114, 142}, {33, 145, 140}, {40, 174, 128},
                                            {94, 201, 98},  {173, 220, 48}, {253, 231, 37}};

const char *heat_colour(double share, char buf[8])
{
    const double at = 8 * fmin(1, fmax(0, isnan(share) ? 0 : share));
    const int i = at < 8 ? (int)at : 7;
    int rgb[3];

    for (int k = 0; k < 3; k++)
        rgb[k] = (int)lround(viridis[i][k] + (at - i) * (viridis[i + 1][k] - viridis[i][k]));
    snprintf(buf, 8, "#%02x%02x%02x", (unsigned)rgb[0] & 255u, (unsigned)rgb[1] & 255u,
             (unsigned)rgb[2] & 255u);
    return buf;
}

void heat_legend(html *h, const scale *s)
{
    chart c = {.width = CHART_SMALL, .height = 34, .t = &h->t};
    char colour[8], label[64];

    c.left = 8, c.right = CHART_SMALL - 8, c.top = 4, c.bottom = 14;
    chart_open(&c, h, "heat-legend");
    for (int i = 0; i < 48; i++)
        text_say(c.t, "<path d=\"M%.2f 4h%.2fv9h-%.2fz\" fill=\"%s\"/>",
                 c.left + (c.right - c.left) * i / 48, (c.right - c.left) / 48 + 0.3,
                 (c.right - c.left) / 48 + 0.3, heat_colour(i / 47.0, colour));
    for (int i = 0; i <= 2; i++) {
        static const char *const anchors[] = {"start", "middle", "end"};

        scale_label(s, scale_back(s, i / 2.0), label, sizeof label);
        put_text(&c, c.left + (c.right - c.left) * i / 2, 28, anchors[i], label, 24);
    }
    chart_close(&c);
}
