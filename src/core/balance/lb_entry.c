
/*
 * The members of a server, and which of them a text may have.
 */


#include "src/core/balance/lb_entry.h"


static const gw_word_t  lb_entry_states[] = {
    { "up", LB_ENTRY_UP },
    { "draining", LB_ENTRY_DRAIN },
    { "disabled", LB_ENTRY_DISABLED },

    /* as a request, the verb will do */

    { "drain", LB_ENTRY_DRAIN },
    { NULL, 0 }
};


const gw_member_t  lb_entry_members[] = {

    { .name = "id", .bit = LB_ENTRY_ID, gw_member_field(lb_entry_t, id),
      .min = 1, .max = LB_ENTRY_ID_MAX },

    { .name = "address", .bit = LB_ENTRY_ADDRESS, .kind = GW_MEMBER_TEXT,
      gw_member_string(lb_entry_t, address, address_length),
      .allowed = "a string of 1 to 264 printable characters, such as "
                 "\"10.0.0.7:8080\"" },

    { .name = "name", .bit = LB_ENTRY_NAME, .kind = GW_MEMBER_TEXT,
      gw_member_string(lb_entry_t, name, name_length),
      .allowed = "a string of 1 to 264 printable characters" },

    { .name = "weight", .bit = LB_ENTRY_WEIGHT,
      gw_member_field(lb_entry_t, weight), .min = 1, .max = UINT32_MAX },

    { .name = "max_conns", .bit = LB_ENTRY_MAX_CONNS,
      gw_member_field(lb_entry_t, max_conns), .max = UINT32_MAX },

    { .name = "max_fails", .bit = LB_ENTRY_MAX_FAILS,
      gw_member_field(lb_entry_t, max_fails), .max = INT32_MAX },

    { .name = "fail_timeout", .bit = LB_ENTRY_FAIL_TIMEOUT,
      .kind = GW_MEMBER_TIME, gw_member_field(lb_entry_t, fail_timeout),
      .scale = 1000, .max = LB_ENTRY_TIME_MAX * UINT64_C(1000),
      .allowed = "a time such as \"10s\", or a number of seconds, up to "
                 "2147483647" },

    { .name = "backup", .bit = LB_ENTRY_BACKUP, .kind = GW_MEMBER_FLAG,
      gw_member_field(lb_entry_t, backup) },

    { .name = "state", .bit = LB_ENTRY_STATE, .kind = GW_MEMBER_WORD,
      gw_member_field(lb_entry_t, state), .words = lb_entry_states,
      .allowed = "\"up\", \"draining\" or \"disabled\"" },

    { .name = "resolved", .bit = LB_ENTRY_RESOLVED, .kind = GW_MEMBER_FLAG,
      gw_member_field(lb_entry_t, resolved) },

    { .name = "timeout", .bit = LB_ENTRY_TIMEOUT,
      gw_member_field(lb_entry_t, timeout), .max = LB_ENTRY_TIME_MAX },

    { .name = "drain_until", .bit = LB_ENTRY_DRAIN_UNTIL,
      gw_member_field(lb_entry_t, drain_until), .min = 1,
      .max = LB_ENTRY_ID_MAX },

    { .name = NULL }
};


const char *const  lb_entry_arrays[] = { "servers", "lines", "names", NULL };


const gw_record_form_t  lb_entry_new = {
    .table = lb_entry_members, .size = sizeof(lb_entry_t),
    .accept = LB_ENTRY_ADDRESS | LB_ENTRY_SETTINGS,
    .require = LB_ENTRY_ADDRESS
};

const gw_record_form_t  lb_entry_change = {
    .table = lb_entry_members, .size = sizeof(lb_entry_t),
    .accept = LB_ENTRY_SETTINGS | LB_ENTRY_TIMEOUT,
    .some = true
};

const gw_record_form_t  lb_entry_file = {
    .table = lb_entry_members, .size = sizeof(lb_entry_t),
    .accept = LB_ENTRY_ADDRESS | LB_ENTRY_NAME | LB_ENTRY_ID
              | LB_ENTRY_SETTINGS | LB_ENTRY_DRAIN_UNTIL | LB_ENTRY_RESOLVED,
    .require = LB_ENTRY_ADDRESS,
    .arrays = lb_entry_arrays
};
