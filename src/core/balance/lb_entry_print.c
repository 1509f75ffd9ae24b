
/*
 * Servers as JSON: state files and what the API shows.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/balance/lb_entry_member.h"


static void lb_entry_write_name(yajl_gen gen, unsigned member);
static void lb_entry_write_number(yajl_gen gen, unsigned member,
    uint64_t value);
static void lb_entry_write_text(yajl_gen gen, unsigned member,
    const char *text, size_t len);


void
lb_entry_write(yajl_gen gen, const lb_entry_t *entry)
{
    (void) yajl_gen_map_open(gen);
    lb_entry_write_members(gen, entry);
    (void) yajl_gen_map_close(gen);
}


void
lb_entry_write_members(yajl_gen gen, const lb_entry_t *entry)
{
    int   n;
    char  text[32];

    lb_entry_write_number(gen, entry->members & LB_ENTRY_ID, entry->id);
    lb_entry_write_text(gen, entry->members & LB_ENTRY_ADDRESS,
                        entry->address, entry->address_length);
    lb_entry_write_text(gen, entry->members & LB_ENTRY_NAME,
                        entry->name, entry->name_length);
    lb_entry_write_number(gen, entry->members & LB_ENTRY_WEIGHT,
                          entry->weight);
    lb_entry_write_number(gen, entry->members & LB_ENTRY_MAX_CONNS,
                          entry->max_conns);
    lb_entry_write_number(gen, entry->members & LB_ENTRY_MAX_FAILS,
                          entry->max_fails);

    n = (entry->fail_timeout % 1000)
        ? snprintf(text, sizeof(text), "%llums",
                   (unsigned long long) entry->fail_timeout)
        : snprintf(text, sizeof(text), "%llus",
                   (unsigned long long) entry->fail_timeout / 1000);

    lb_entry_write_text(gen, entry->members & LB_ENTRY_FAIL_TIMEOUT, text,
                        (size_t) n);

    if (entry->members & LB_ENTRY_BACKUP) {
        lb_entry_write_name(gen, LB_ENTRY_BACKUP);
        (void) yajl_gen_bool(gen, entry->backup);
    }

    lb_entry_write_text(gen, entry->members & LB_ENTRY_STATE,
                        lb_entry_states[entry->state],
                        strlen(lb_entry_states[entry->state]));
}


static void
lb_entry_write_name(yajl_gen gen, unsigned member)
{
    const char  *name;

    name = lb_entry_member(member)->name;

    (void) yajl_gen_string(gen, (const unsigned char *) name, strlen(name));
}


/* the member is 0 if there is nothing to write */

static void
lb_entry_write_number(yajl_gen gen, unsigned member, uint64_t value)
{
    if (member) {
        lb_entry_write_name(gen, member);
        (void) yajl_gen_integer(gen, (long long) value);
    }
}


static void
lb_entry_write_text(yajl_gen gen, unsigned member, const char *text,
    size_t len)
{
    if (member) {
        lb_entry_write_name(gen, member);
        (void) yajl_gen_string(gen, (const unsigned char *) text, len);
    }
}
