/* A clock of one's own for a process: what the C library says of wall time is shifted, monotonic
 * clocks are not. It reaches SQLite and libpq too: the program's own functions come before the C
 * library's. */
#ifndef SKEW_H
#define SKEW_H
void skew_set(long seconds);
#endif
