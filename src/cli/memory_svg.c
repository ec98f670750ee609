#include "cli/memory_svg.h"

#define WIDTH  800
#define HEIGHT 360
#define LEFT   70
#define TOP    40
#define INNER_WIDTH  (WIDTH - LEFT - 20)
#define INNER_HEIGHT (HEIGHT - TOP - 50)

static const struct {
    const char *name, *color;
} lines[PICTURE_LINES] = {
    [LINE_GUEST] = {"size", "#888888"},         [LINE_RESIDENT] = {"resident", "#c03030"}, [LINE_SHARED] = {"shared", "#2060c0"},
    [LINE_BALLOONED] = {"ballooned", "#30a040"}, [LINE_PAGED] = {"paged", "#8040b0"},      [LINE_WORKING] = {"working set", "#e09020"},
};

static double highest(const struct picture_look *looks, unsigned n)
{
    double top = 1 << 20;
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < PICTURE_LINES; k++)
            top = looks[i].value[k] > top ? looks[i].value[k] : top;
    return top;
}

static void grid(FILE *f, double top)
{
    for (int k = 0; k <= 4; k++) {
        double y = TOP + INNER_HEIGHT * (4 - k) / 4.0;
        fprintf(f, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", LEFT, LEFT + INNER_WIDTH, y, y);
        fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n", LEFT - 6, y + 4, top * k / 4 / (1 << 20));
    }
}

bool memory_svg(FILE *f, const struct picture_look *looks, unsigned n, const char *group)
{
    double top = highest(looks, n), step = n > 1 ? (double)INNER_WIDTH / (n - 1) : 0;
    unsigned members = 0;
    for (unsigned i = 0; i < n; i++)
        members = looks[i].members > members ? looks[i].members : members;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", WIDTH, HEIGHT);
    fprintf(f, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n<text x=\"%d\" y=\"20\">group %s: MiB of %u VMs together, over %u s</text>\n", WIDTH, HEIGHT,
            LEFT, group, members, n - 1);
    grid(f, top);
    for (unsigned k = 0; k < PICTURE_LINES; k++) {
        fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", lines[k].color);
        for (unsigned i = 0; i < n; i++)
            fprintf(f, "%.1f,%.1f ", LEFT + step * i, TOP + INNER_HEIGHT * (1 - looks[i].value[k] / top));
        fprintf(f, "\"/>\n<text x=\"%u\" y=\"%d\" fill=\"%s\">%s</text>\n", LEFT + k * 120, HEIGHT - 15, lines[k].color, lines[k].name);
    }
    fprintf(f, "</svg>\n");
    return fflush(f) == 0 && !ferror(f);
}
