
/*
 * TLS to servers: what two connections must have in common for one to be as
 * good as the other, and for the session of one to be resumed by the other.
 *
 * Each place of the configuration may have a TLS context of its own, made of
 * the same directives or of others; nginx's modules do not tell of which.  So
 * contexts are compared by what they are: by the certificates and CRLs they
 * trust, by the certificate they show, and by the ClientHello that they send.
 * The first request with a context pays for that; equal contexts then have
 * the same address of settings.
 */


#include "src/lb/request/ngx_http_lb_tls.h"


#if (NGX_HTTP_SSL)


/* a ClientHello in its record: what precedes the session's id, and where */
#define NGX_HTTP_LB_HELLO_HEAD       43
#define NGX_HTTP_LB_HELLO_VERSION    9

#define NGX_HTTP_LB_HELLO_KEY_SHARE  51


struct ngx_http_lb_settings_s {
    ngx_http_lb_settings_t    *next;
    u_char                     digest[EVP_MAX_MD_SIZE];
    unsigned                   told:1;       /* the digest is that of them */
};


static ngx_http_lb_settings_t *ngx_http_lb_settings(ngx_http_request_t *r);
static ngx_int_t ngx_http_lb_settings_digest(SSL_CTX *ctx, u_char *digest);
static ngx_int_t ngx_http_lb_settings_options(EVP_MD_CTX *md, SSL_CTX *ctx);
static ngx_int_t ngx_http_lb_settings_trusted(EVP_MD_CTX *md, SSL_CTX *ctx);
static ngx_int_t ngx_http_lb_settings_own(EVP_MD_CTX *md, SSL_CTX *ctx);
static ngx_int_t ngx_http_lb_settings_certificate(EVP_MD_CTX *md, X509 *cert);
static ngx_int_t ngx_http_lb_settings_hello(EVP_MD_CTX *md, SSL_CTX *ctx);
static ngx_int_t ngx_http_lb_settings_parse(EVP_MD_CTX *md, u_char *p,
    size_t len);
static ngx_uint_t ngx_http_lb_same_text(const ngx_str_t *one,
    const ngx_str_t *two);
static u_char *ngx_http_lb_move_text(ngx_str_t *text, u_char *to);


/* where a context has its settings */

static int  ngx_http_lb_settings_index = -1;


ngx_int_t
ngx_http_lb_tls(ngx_http_request_t *r, ngx_http_lb_tls_t *tls)
{
    ngx_http_upstream_t       *u;
    ngx_http_upstream_conf_t  *conf;

    u = r->upstream;
    conf = u->conf;

    ngx_memzero(tls, sizeof(ngx_http_lb_tls_t));

    tls->settings = ngx_http_lb_settings(r);

    if (tls->settings == NULL) {
        return NGX_ERROR;
    }

    tls->server_name = conf->ssl_server_name;
    tls->verify = conf->ssl_verify;

    if (tls->server_name || tls->verify) {

        if (conf->ssl_name == NULL) {
            tls->name = u->ssl_name;

        } else if (ngx_http_complex_value(r, conf->ssl_name, &tls->name)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (conf->ssl_certificate == NULL
        || (conf->ssl_certificate->lengths == NULL
            && conf->ssl_certificate_key->lengths == NULL))
    {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->ssl_certificate, &tls->certificate)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_complex_value(r, conf->ssl_certificate_key,
                                  &tls->private_key);
}


ngx_uint_t
ngx_http_lb_tls_equal(const ngx_http_lb_tls_t *one,
    const ngx_http_lb_tls_t *two)
{
    return one->settings == two->settings
           && one->server_name == two->server_name
           && one->verify == two->verify
           && ngx_http_lb_same_text(&one->name, &two->name)
           && ngx_http_lb_same_text(&one->certificate, &two->certificate)
           && ngx_http_lb_same_text(&one->private_key, &two->private_key);
}


ngx_int_t
ngx_http_lb_tls_digest(const ngx_http_lb_tls_t *tls, const ngx_str_t *text,
    u_char *digest, size_t size)
{
    u_char            md[EVP_MAX_MD_SIZE];
    ngx_int_t         rc;
    ngx_uint_t        i;
    EVP_MD_CTX       *ctx;
    const ngx_str_t  *texts[4];
    uint64_t          head[6];

    if (!tls->settings->told) {
        return NGX_DECLINED;
    }

    texts[0] = text;
    texts[1] = &tls->name;
    texts[2] = &tls->certificate;
    texts[3] = &tls->private_key;

    head[0] = tls->server_name;
    head[1] = tls->verify;

    for (i = 0; i < 4; i++) {
        head[2 + i] = texts[i]->len;
    }

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    if (EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
        && EVP_DigestUpdate(ctx, tls->settings->digest, EVP_MAX_MD_SIZE) == 1
        && EVP_DigestUpdate(ctx, head, sizeof(head)) == 1)
    {
        for (i = 0; i < 4; i++) {

            if (texts[i]->len
                && EVP_DigestUpdate(ctx, texts[i]->data, texts[i]->len) != 1)
            {
                break;
            }
        }

        if (i == 4 && EVP_DigestFinal_ex(ctx, md, NULL) == 1) {
            ngx_memcpy(digest, md, size);
            rc = NGX_OK;
        }
    }

    EVP_MD_CTX_free(ctx);

    return rc;
}


size_t
ngx_http_lb_tls_size(const ngx_http_lb_tls_t *tls)
{
    return tls->name.len + tls->certificate.len + tls->private_key.len;
}


void
ngx_http_lb_tls_move(ngx_http_lb_tls_t *tls, u_char *to)
{
    to = ngx_http_lb_move_text(&tls->name, to);
    to = ngx_http_lb_move_text(&tls->certificate, to);
    (void) ngx_http_lb_move_text(&tls->private_key, to);
}


static ngx_uint_t
ngx_http_lb_same_text(const ngx_str_t *one, const ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


static u_char *
ngx_http_lb_move_text(ngx_str_t *text, u_char *to)
{
    if (text->len) {
        ngx_memcpy(to, text->data, text->len);
    }

    text->data = to;

    return to + text->len;
}


/*
 * The settings of the request's context.  If they cannot be told, they equal
 * those of no other context.
 */

static ngx_http_lb_settings_t *
ngx_http_lb_settings(ngx_http_request_t *r)
{
    SSL_CTX                  *ctx;
    ngx_http_lb_settings_t   *settings, *other;
    ngx_http_lb_main_conf_t  *lmcf;

    ctx = r->upstream->conf->ssl->ctx;

    if (ngx_http_lb_settings_index == -1) {
        ngx_http_lb_settings_index = SSL_CTX_get_ex_new_index(0, NULL, NULL,
                                                              NULL, NULL);
        if (ngx_http_lb_settings_index == -1) {
            return NULL;
        }
    }

    settings = SSL_CTX_get_ex_data(ctx, ngx_http_lb_settings_index);

    if (settings) {
        return settings;
    }

    settings = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_lb_settings_t));
    if (settings == NULL) {
        return NULL;
    }

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_lb_upstream_module);

    if (ngx_http_lb_settings_digest(ctx, settings->digest) != NGX_OK) {
        ngx_ssl_error(NGX_LOG_WARN, r->connection->log, 0,
                      "lb: TLS settings cannot be compared, connections "
                      "stay with the location that opens them");
        goto set;
    }

    for (other = lmcf->settings; other; other = other->next) {

        if (ngx_memcmp(other->digest, settings->digest, EVP_MAX_MD_SIZE)
            == 0)
        {
            ngx_pfree(ngx_cycle->pool, settings);
            settings = other;

            goto set;
        }
    }

    settings->told = 1;
    settings->next = lmcf->settings;
    lmcf->settings = settings;

set:

    if (SSL_CTX_set_ex_data(ctx, ngx_http_lb_settings_index, settings) == 0) {
        return NULL;
    }

    return settings;
}


static ngx_int_t
ngx_http_lb_settings_digest(SSL_CTX *ctx, u_char *digest)
{
    ngx_int_t    rc;
    EVP_MD_CTX  *md;

    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1
        && ngx_http_lb_settings_options(md, ctx) == NGX_OK
        && ngx_http_lb_settings_trusted(md, ctx) == NGX_OK
        && ngx_http_lb_settings_own(md, ctx) == NGX_OK
        && ngx_http_lb_settings_hello(md, ctx) == NGX_OK
        && EVP_DigestFinal_ex(md, digest, NULL) == 1)
    {
        rc = NGX_OK;
    }

    EVP_MD_CTX_free(md);

    return rc;
}


static ngx_int_t
ngx_http_lb_settings_options(EVP_MD_CTX *md, SSL_CTX *ctx)
{
    uint64_t     options[5];
    X509_STORE  *store;

    store = SSL_CTX_get_cert_store(ctx);

    options[0] = SSL_CTX_get_options(ctx);
    options[1] = SSL_CTX_get_verify_mode(ctx);
    options[2] = SSL_CTX_get_verify_depth(ctx);
    options[3] = SSL_CTX_get_security_level(ctx);
    options[4] = X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store));

    return EVP_DigestUpdate(md, options, sizeof(options)) ? NGX_OK
                                                          : NGX_ERROR;
}


static ngx_int_t
ngx_http_lb_settings_trusted(EVP_MD_CTX *md, SSL_CTX *ctx)
{
    int                     i, n, type;
    u_char                  digest[EVP_MAX_MD_SIZE];
    X509_CRL               *crl;
    unsigned int            len;
    X509_OBJECT            *object;
    STACK_OF(X509_OBJECT)  *objects;

    objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    n = sk_X509_OBJECT_num(objects);

    for (i = 0; i < n; i++) {
        object = sk_X509_OBJECT_value(objects, i);
        type = X509_OBJECT_get_type(object);

        if (type == X509_LU_X509) {

            if (ngx_http_lb_settings_certificate(md,
                                           X509_OBJECT_get0_X509(object))
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        crl = (type == X509_LU_CRL) ? X509_OBJECT_get0_X509_CRL(object)
                                    : NULL;

        if (crl == NULL
            || X509_CRL_digest(crl, EVP_sha256(), digest, &len) == 0
            || EVP_DigestUpdate(md, digest, len) == 0)
        {
            return NGX_ERROR;
        }
    }

    /* so that what follows cannot pass for one of them */

    return EVP_DigestUpdate(md, &n, sizeof(int)) ? NGX_OK : NGX_ERROR;
}


/* the certificate that is shown to the server, if there is one */

static ngx_int_t
ngx_http_lb_settings_own(EVP_MD_CTX *md, SSL_CTX *ctx)
{
    int              i, n;
    X509            *cert;
    STACK_OF(X509)  *chain;

    cert = SSL_CTX_get0_certificate(ctx);

    if (cert == NULL) {
        return NGX_OK;
    }

    if (ngx_http_lb_settings_certificate(md, cert) != NGX_OK
        || SSL_CTX_get0_chain_certs(ctx, &chain) == 0)
    {
        return NGX_ERROR;
    }

    n = chain ? sk_X509_num(chain) : 0;

    for (i = 0; i < n; i++) {

        if (ngx_http_lb_settings_certificate(md, sk_X509_value(chain, i))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return EVP_DigestUpdate(md, &n, sizeof(int)) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_lb_settings_certificate(EVP_MD_CTX *md, X509 *cert)
{
    u_char        digest[EVP_MAX_MD_SIZE];
    unsigned int  len;

    if (X509_digest(cert, EVP_sha256(), digest, &len) == 0
        || EVP_DigestUpdate(md, digest, len) == 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Versions, ciphers, groups, signature algorithms, ALPN: whatever a context
 * tells a server, as it tells it, with nobody there to answer.
 */

static ngx_int_t
ngx_http_lb_settings_hello(EVP_MD_CTX *md, SSL_CTX *ctx)
{
    BIO        *in, *out;
    SSL        *ssl;
    long        len;
    char       *hello;
    ngx_int_t   rc;

    ssl = SSL_new(ctx);
    if (ssl == NULL) {
        return NGX_ERROR;
    }

    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());

    if (in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        return NGX_ERROR;
    }

    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);

    /* it cannot go on for want of an answer */

    (void) SSL_do_handshake(ssl);

    len = BIO_get_mem_data(out, &hello);

    rc = (len > 0) ? ngx_http_lb_settings_parse(md, (u_char *) hello, len)
                   : NGX_ERROR;

    SSL_free(ssl);
    ERR_clear_error();

    return rc;
}


/* all but what is random: the random, the session's id and the key shares */

static ngx_int_t
ngx_http_lb_settings_parse(EVP_MD_CTX *md, u_char *p, size_t len)
{
    u_char      *end;
    size_t       size;
    ngx_uint_t   type;

    end = p + len;

    if (len < NGX_HTTP_LB_HELLO_HEAD + 1
        || EVP_DigestUpdate(md, p + NGX_HTTP_LB_HELLO_VERSION, 2) == 0)
    {
        return NGX_ERROR;
    }

    p += NGX_HTTP_LB_HELLO_HEAD;
    p += 1 + p[0];

    /* ciphers */

    if (end - p < 2) {
        return NGX_ERROR;
    }

    size = 2 + (p[0] << 8) + p[1];

    if ((size_t) (end - p) < size + 1 || EVP_DigestUpdate(md, p, size) == 0) {
        return NGX_ERROR;
    }

    p += size;

    /* compression methods, the length of extensions */

    p += 1 + p[0] + 2;

    while (end - p >= 4) {
        type = (p[0] << 8) + p[1];
        size = 4 + (p[2] << 8) + p[3];

        if ((size_t) (end - p) < size) {
            return NGX_ERROR;
        }

        if (type != NGX_HTTP_LB_HELLO_KEY_SHARE
            && EVP_DigestUpdate(md, p, size) == 0)
        {
            return NGX_ERROR;
        }

        p += size;
    }

    return NGX_OK;
}


#endif
