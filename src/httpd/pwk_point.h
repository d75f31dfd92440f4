/* Places of the sale where a test ends the process or makes it stand still (t/points). The shipped module has none. */
#ifndef PWK_POINT_H
#define PWK_POINT_H

#ifdef PWK_POINTS
void pwk_point(const char *name);
#define PWK_POINT(name) pwk_point(name)
#else
#define PWK_POINT(name) ((void)0)
#endif

#endif
