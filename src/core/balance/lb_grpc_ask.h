
/*
 * The request of a health check to a gRPC server, grpc.health.v1.Health/Check,
 * as the bytes that a connection of HTTP/2 begins with.
 */


#ifndef LB_GRPC_ASK_H
#define LB_GRPC_ASK_H


#include <stdbool.h>
#include <stddef.h>


#define LB_GRPC_SERVICE_MAX  255     /* bytes of a service's name */


typedef struct {
    const char        *name;
    const char        *value;
    size_t             name_length;
    size_t             value_length;
} lb_grpc_header_t;


/* what is asked */

typedef struct {
    bool                     tls;
    const char              *authority;
    size_t                   authority_length;
    const char              *service;         /* at most LB_GRPC_SERVICE_MAX */
    size_t                   service_length;
    const lb_grpc_header_t  *headers;         /* with names in lower case */
    size_t                   nheaders;
} lb_grpc_request_t;


/*
 * Writes a connection's beginning and its only request: returns how many
 * bytes that is, 0: they are more than size, or than a frame may have.
 */
size_t lb_grpc_ask(unsigned char *buf, size_t size,
    const lb_grpc_request_t *request);


#endif /* LB_GRPC_ASK_H */
