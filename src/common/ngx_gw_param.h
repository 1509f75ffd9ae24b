
/*
 * The parameters of a directive, "name=value" and words that stand alone, by
 * a table with a row for each of them.
 */


#ifndef NGX_GW_PARAM_H
#define NGX_GW_PARAM_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct ngx_gw_param_s  ngx_gw_param_t;

/*
 * Sets a field of a kind of its own: NGX_OK; NGX_DECLINED, the value is wrong;
 * NGX_ERROR after a line in the log.
 */

typedef ngx_int_t (*ngx_gw_param_pt)(ngx_conf_t *cf, ngx_str_t *value,
    void *conf);


typedef enum {
    NGX_GW_PARAM_FLAG = 0,  /* stands alone, and sets the field to min */
    NGX_GW_PARAM_NUMBER,
    NGX_GW_PARAM_TIME,      /* ms */
    NGX_GW_PARAM_PERCENT,   /* with or without the sign */
    NGX_GW_PARAM_WORD,      /* one of words */
    NGX_GW_PARAM_STRING,    /* any but an empty one */
    NGX_GW_PARAM_VISIBLE,   /* of min to max characters, none of them blank */
    NGX_GW_PARAM_NAME,      /* of letters, digits and those in chars */
    NGX_GW_PARAM_FILE,      /* a path, from the configuration's folder */
    NGX_GW_PARAM_OWN        /* by set() */
} ngx_gw_param_kind_t;


struct ngx_gw_param_s {
    ngx_str_t              name;      /* "rate=", or "tcp" of a flag */
    ngx_gw_param_kind_t    kind;
    size_t                 offset;    /* of the field ... */
    size_t                 size;      /* ... of 4 or 8 bytes, if a number */
    ngx_int_t              min;
    ngx_int_t              max;
    ngx_int_t              scale;     /* of the field, 0 is 1 */
    const ngx_conf_enum_t *words;
    const char            *chars;
    ngx_gw_param_pt        set;
    const char            *allowed;   /* after "it must be"; NULL: the range */
    ngx_uint_t             required;
    ngx_uint_t             repeated;  /* may be there more than once */
};

#define ngx_gw_param_field(type, field)                                      \
    .offset = offsetof(type, field), .size = sizeof(((type *) 0)->field)

/* on and off, for .words */

extern const ngx_conf_enum_t  ngx_gw_param_switch[];


/*
 * Reads the arguments of a directive from the one of that number on, in any
 * order, each at most once; of rows with the same offset, only one may be
 * there.  What is unknown, twice, missing or wrong is said with its name,
 * value and range.  Sets a bit of *given (NULL: none) for each row that was
 * there, or the first one with its offset.  NGX_CONF_OK or NGX_CONF_ERROR.
 */

char *ngx_gw_params(ngx_conf_t *cf, ngx_uint_t from,
    const ngx_gw_param_t *table, void *conf, uint32_t *given);

/*
 * The same for one argument that has no name; that of the row is then what
 * the messages call it.
 */

char *ngx_gw_param_argument(ngx_conf_t *cf, ngx_uint_t number,
    const ngx_gw_param_t *param, void *conf);

/*
 * As ngx_conf_set_enum_slot(), whose message says neither the directive nor
 * what it may be; cmd->post is the words.
 */

char *ngx_gw_param_word_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Makes a value of a text that may have variables.  NGX_OK or NGX_ERROR. */

ngx_int_t ngx_gw_param_value(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_complex_value_t *value);


#endif /* NGX_GW_PARAM_H */
