/* libpq, found when a PostgreSQL is first asked for, so that one binary serves machines with and
 * without it. */
#ifndef PQ_H
#define PQ_H
#include "base/shared_library.h"
#include <libpq-fe.h>

#define PQ_FUNCTIONS(F)                                                                            \
    F(PQconnectStartParams)                                                                        \
    F(PQconnectPoll)                                                                               \
    F(PQconninfoParse)                                                                             \
    F(PQconninfoFree)                                                                              \
    F(PQfreemem)                                                                                   \
    F(PQfinish)                                                                                    \
    F(PQstatus)                                                                                    \
    F(PQsocket)                                                                                    \
    F(PQerrorMessage)                                                                              \
    F(PQsetErrorVerbosity)                                                                         \
    F(PQsetNoticeProcessor)                                                                        \
    F(PQsetnonblocking)                                                                            \
    F(PQenterPipelineMode)                                                                         \
    F(PQexitPipelineMode)                                                                          \
    F(PQpipelineSync)                                                                              \
    F(PQsendPrepare)                                                                               \
    F(PQsendQueryPrepared)                                                                         \
    F(PQsendQuery)                                                                                 \
    F(PQflush)                                                                                     \
    F(PQconsumeInput)                                                                              \
    F(PQisBusy)                                                                                    \
    F(PQgetResult)                                                                                 \
    F(PQresultStatus)                                                                              \
    F(PQresultErrorField)                                                                          \
    F(PQresultErrorMessage)                                                                        \
    F(PQclear)                                                                                     \
    F(PQntuples)                                                                                   \
    F(PQcmdTuples)                                                                                 \
    F(PQgetvalue)                                                                                  \
    F(PQgetisnull)                                                                                 \
    F(PQgetlength)

typedef struct pq {
    PQ_FUNCTIONS(LIBRARY_FIELD)
} pq;

/* DRMAD_E_MISSING, naming the package, when there is no libpq or none with pipelines (14). */
drmad_status pq_open(drmad_ctx *ctx, pq *out);

/* Refuses (DRMAD_E_UNSAFE) a password file that others can read and libpq would therefore ignore
 * without saying so: the URL's passfile, PGPASSFILE, else ~/.pgpass; the service file too. */
drmad_status pq_check_files(drmad_ctx *ctx, const pq *p, const char *url);
#endif
