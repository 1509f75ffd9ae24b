
/*
 * Making a roster what a state file says.
 */


#include <string.h>

#include "src/core/balance/lb_adopt.h"
#include "src/core/balance/lb_slot.h"


static bool lb_adopt_servers(lb_roster_t *roster, const lb_list_t *list,
    uint32_t *seen, lb_note_pt note, void *data);
static void lb_adopt_clear(lb_roster_t *roster, bool merge,
    const uint32_t *seen, lb_note_pt note, void *data);
static bool lb_adopt_lines(lb_roster_t *roster, const lb_list_t *list,
    uint32_t *seen);
static uint32_t lb_adopt_find(lb_roster_t *roster, const lb_line_t *line,
    uint32_t hint, const uint32_t *seen);
static bool lb_adopt_has(const lb_line_t *lines, uint32_t n,
    const lb_line_t *line, uint32_t *hint);


bool
lb_adopt_list(lb_roster_t *roster, const lb_list_t *list, lb_note_pt note,
    void *data)
{
    uint32_t  i, k, *seen;

    seen = lb_slot_space(roster);

    for (i = 0, k = 0; k < list->nservers; k++) {
        i = lb_adopt_find(roster, &list->servers[k], i, seen);

        if (i == LB_NONE) {
            i = 0;
            continue;
        }

        seen[i++] = k + 1;
    }

    lb_adopt_clear(roster, list->merge, seen, note, data);

    return lb_adopt_servers(roster, list, seen, note, data)
           && lb_adopt_lines(roster, list, lb_slot_space(roster));
}


/* removes servers that are not in the list, and forgets all lines */

static void
lb_adopt_clear(lb_roster_t *roster, bool merge, const uint32_t *seen,
    lb_note_pt note, void *data)
{
    bool            stays;
    uint32_t        i, status, used;
    lb_identity_t  *identity;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        status = lb_roster_status(roster, i);
        identity = lb_roster_identity(roster, i);

        if (status & (LB_TOMBSTONE | LB_REMOVED)) {
            lb_slot_clear_tombstone(roster, i);
            continue;
        }

        stays = (seen[i] != 0 || identity->resolved
                 || (merge && !identity->from_line));
        identity->from_line = false;

        if (stays || !(status & LB_USED)) {
            continue;
        }

        atomic_fetch_or_explicit(&lb_roster_server(roster, i)->status,
                                 LB_REMOVED, memory_order_seq_cst);

        if (note) {
            note(data, identity, false);
        }
    }

    lb_roster_sweep(roster, NULL, NULL);
}


static bool
lb_adopt_servers(lb_roster_t *roster, const lb_list_t *list, uint32_t *seen,
    lb_note_pt note, void *data)
{
    uint32_t          i, k, from, used;
    const lb_line_t  *line;

    from = 0;

    for (k = 0; k < list->nservers; k++) {
        line = &list->servers[k];
        used = lb_roster_used(roster);

        if (line->drain_until != 0) {
            gw_store_release(&roster->drains, 1);
        }

        for (i = 0; i < used && seen[(k + i) % used] != k + 1; i++) {
            /* void */
        }

        if (i < used) {
            i = (k + i) % used;

            lb_slot_set(lb_roster_server(roster, i), line);
            gw_store_relaxed(&lb_roster_server(roster, i)->rank, k);
            lb_roster_identity(roster, i)->id = line->id;
            lb_slot_id(roster, line->id);
            continue;
        }

        i = lb_slot_next(roster, &from);

        if (i == LB_NONE) {
            return false;
        }

        lb_slot_add(roster, i, line, k);
        lb_roster_identity(roster, i)->from_line = false;

        if (note) {
            note(data, lb_roster_identity(roster, i), true);
        }
    }

    return true;
}


/* who has a line is compared with it, other lines are of deleted servers */

static bool
lb_adopt_lines(lb_roster_t *roster, const lb_list_t *list, uint32_t *seen)
{
    uint32_t  i, k, from, hint;

    hint = 0;

    for (k = 0; k < list->nlines; k++) {
        i = lb_adopt_find(roster, &list->lines[k], hint, seen);

        if (i == LB_NONE && list->lines[k].resolved) {
            continue;
        }

        if (i == LB_NONE) {
            from = 0;
            i = lb_slot_next(roster, &from);

            if (i == LB_NONE) {
                return false;
            }

            lb_slot_set_tombstone(roster, i, &list->lines[k]);
            continue;
        }

        lb_slot_line(roster, i, &list->lines[k]);

        seen[i] = 1;
        hint = i + 1;
    }

    return true;
}


/* the server of that host and address, from hint on */

static uint32_t
lb_adopt_find(lb_roster_t *roster, const lb_line_t *line, uint32_t hint,
    const uint32_t *seen)
{
    uint32_t  i, index, status, used;

    used = lb_roster_used(roster);

    for (i = 0; i < used; i++) {
        index = (hint + i) % used;
        status = lb_roster_status(roster, index);

        if (seen[index] == 0 && (status & LB_USED) && !(status & LB_REMOVED)
            && lb_roster_same(lb_roster_identity(roster, index), line))
        {
            return index;
        }
    }

    return LB_NONE;
}


uint32_t
lb_adopt_need(const lb_list_t *list, const lb_line_t *lines, uint32_t n)
{
    uint32_t  i, hint, need, other;

    hint = 0;
    need = list->nservers;

    for (i = 0; i < list->nlines; i++) {
        need += !lb_adopt_has(list->servers, list->nservers, &list->lines[i],
                             &hint);
    }

    hint = 0;
    other = 0;

    for (i = 0; i < n; i++) {
        need += !lb_adopt_has(list->servers, list->nservers, &lines[i], &hint)
                && !lb_adopt_has(list->lines, list->nlines, &lines[i], &other);
    }

    return need;
}


static bool
lb_adopt_has(const lb_line_t *lines, uint32_t n, const lb_line_t *line,
    uint32_t *hint)
{
    uint32_t          i;
    const lb_line_t  *l;

    for (i = 0; i < n; i++) {
        l = &lines[(*hint + i) % n];

        if (l->host_length == line->host_length
            && l->address_length == line->address_length
            && memcmp(l->host, line->host, line->host_length) == 0
            && memcmp(l->address, line->address, line->address_length) == 0)
        {
            *hint = *hint + i + 1;
            return true;
        }
    }

    return false;
}
